// Adds the partial sums of conv2d_texture_weight_grad and brings them into PyTorch's layout.
//
// Formula: dw[o,i,tap] = sum over strips of partials[strip][place of o,i,tap]
// Layout
//   partials  [strip][output block][input plane][output plane of block][input lane][tap],
//             four output channels a vec4
//   result    dW [O, I, kH, kW], flat; lanes that are no channel are dropped
// Bindings: 0 params, 1 partials, 2 result
// Constants: TAPS = kH*kW, OUT_PLANES
// Grid: one invocation a vec4 of a strip, in workgroups of 64, x then y.

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  strips: u32,
  stripVectors: u32,
  groupsX: u32,
  outputChannels: u32,
  inputChannels: u32,
  inputPlanes: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let vectors = params.stripVectors;
  let index = (group.y * params.groupsX + group.x) * 64u + lane;
  if (index >= vectors) {
    return;
  }
  let strips = params.strips;
  var sum = vec4<f32>();
  var at = index;
  for (var strip = 0u; strip < strips; strip++) {
    sum += partials[at];
    at += vectors;
  }

  let tap = index % ${TAPS}u;
  let inputLane = index / ${TAPS}u % 4u;
  let outputPlane = index / ${4 * TAPS}u % ${OUT_PLANES}u;
  let pair = index / ${4 * TAPS * OUT_PLANES}u;
  let inputPlane = pair % params.inputPlanes;
  let output = (pair / params.inputPlanes * ${OUT_PLANES}u + outputPlane) * 4u;
  var segment = params.segments[0];
  //@for s in 1..4
  if (inputPlane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (inputPlane - segment.firstPlane) * 4u + inputLane;
  let endOutput = select(0u, params.outputChannels, channel < segment.channels);
  let input = segment.firstChannel + channel;
  //@for c in 0..4
  if (output + ${c}u < endOutput) {
    result[((output + ${c}u) * params.inputChannels + input) * ${TAPS}u + tap] = sum.${lane(c)};
  }
  //@end
}
