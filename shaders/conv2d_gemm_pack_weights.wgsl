// Packs convolution weights for conv2d_gemm: what a workgroup loads in a step is one run.
//
// Formula   p[o][i][tap] = w[first + o*outputStride + i*inputStride + tap]
// Layout    weights  flat, PyTorch's [O, I, kH, kW] or [I, O, kH, kW], by the strides
//           packed   [output block][tap group][chunk][plane of chunk][tap of group][input lane]
//                    [output plane of block], four output channels a vec4; what is no channel is
//                    zero. Each of up to four concatenated inputs (segments) is padded to planes of
//                    4 channels on its own.
// Bindings  0 params, 1 weights, 2 packed
// Constants BLOCK_PLANES of output channels; TAPS of a group; PLANES of a chunk
// Grid      one invocation a vec4; x then y

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  count: u32,
  stride: u32, // invocations in a grid row
  outputChannels: u32,
  inputPlanes: u32,
  chunks: u32,
  groups: u32,
  first: u32,
  outputStride: u32,
  inputStride: u32,
  segments: array<Segment, 4>,
  taps: array<u32>, // of each group
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let index = id.y * params.stride + id.x;
  if (index >= params.count) {
    return;
  }
  let lane = index / ${BLOCK_PLANES}u % 4u;
  let tapIndex = index / ${4 * BLOCK_PLANES}u;
  let planeIndex = tapIndex / ${TAPS}u;
  let chunkIndex = planeIndex / ${PLANES}u;
  let groupIndex = chunkIndex / params.chunks;
  let block = groupIndex / params.groups;
  let plane = chunkIndex % params.chunks * ${PLANES}u + planeIndex % ${PLANES}u;
  let tap = params.taps[groupIndex % params.groups * ${TAPS}u + tapIndex % ${TAPS}u];

  var segment = params.segments[0];
  //@for s in 1..4
  if (plane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (plane - segment.firstPlane) * 4u + lane;
  let output = (block * ${BLOCK_PLANES}u + index % ${BLOCK_PLANES}u) * 4u;
  let at = params.first + (segment.firstChannel + channel) * params.inputStride + tap;
  var value = vec4f();
  //@for c in 0..4
  if (channel < segment.channels && output + ${c}u < params.outputChannels) {
    value.${lane(c)} = weights[at + (output + ${c}u) * params.outputStride];
  }
  //@end
  packed[index] = value;
}
