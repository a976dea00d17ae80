// Packs convolution weights for conv2d_texture_forward.
//
// Formula
//   forward    p[o][i][tap] = w[o][i][tap]
//   TRANSPOSED p[o][i][tap] = w[i][firstOutput + o][TAPS - 1 - tap]   (for the input gradient)
// Layout
//   weights  PyTorch's [O, I, kH, kW], flat
//   packed   the image of a texture: rows of columns * pitch texels; texel
//            column*pitch + (tap*4 + input lane)*OUT_PLANES + output plane of row
//            (block % blocksPerColumn)*inputPlanes + input plane holds four output channels.
//            Lanes that are no channel are zero.
//   Each of up to four concatenated inputs (segments) is padded to planes of 4 channels on its own.
// Bindings: 0 params, 1 weights, 2 packed
// Constants: TAPS = kH*kW, OUT_PLANES, TRANSPOSED
// Grid: x over the texels of a row in workgroups of 64, y over rows.

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  outputChannels: u32,
  firstOutput: u32,
  rowChannels: u32,
  inputPlanes: u32,
  blocks: u32,
  blocksPerColumn: u32,
  columns: u32,
  pitch: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) weights: 'vec4f'
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

fn weightOf(params: Params, output: u32, input: u32, tap: u32) -> f32 {
  //@if TRANSPOSED
  let at = (input * params.rowChannels + params.firstOutput + output) * ${TAPS}u + ${TAPS - 1}u - tap;
  //@else
  let at = (output * params.rowChannels + input) * ${TAPS}u + tap;
  //@end
  let four = weights_at(at / 4u);
  let two = select(four.xy, four.zw, at % 4u >= 2u);
  return select(two.x, two.y, at % 2u == 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let rowTexels = params.columns * params.pitch;
  if (id.x >= rowTexels) {
    return;
  }
  let inputPlane = id.y % params.inputPlanes;
  let block = id.x / params.pitch * params.blocksPerColumn + id.y / params.inputPlanes;
  let texel = id.x % params.pitch;
  let outputPlane = texel % ${OUT_PLANES}u;
  let inputLane = texel / ${OUT_PLANES}u % 4u;
  let tap = texel / ${4 * OUT_PLANES}u;

  var segment = params.segments[0];
  //@for s in 1..4
  if (inputPlane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (inputPlane - segment.firstPlane) * 4u + inputLane;
  let used = tap < ${TAPS}u && block < params.blocks && channel < segment.channels;
  let output = (block * ${OUT_PLANES}u + outputPlane) * 4u;
  let input = segment.firstChannel + channel;
  var value = vec4<f32>();
  //@for c in 0..4
  if (used && output + ${c}u < params.outputChannels) {
    value.${lane(c)} = weightOf(params, output + ${c}u, input, tap);
  }
  //@end
  packed[id.y * rowTexels + id.x] = value;
}
