// Packs convolution weights for conv2d_direct_gather.
//
// Formula   p[o][i][tap] = w[first + o*outputStride + i*inputStride + tap]
// Layout    weights  flat, PyTorch's [O, I, kH, kW] or [I, O, kH, kW], by the strides
//           packed   vec4 (((block*TAPS + tap)*inputPlanes + plane)*4 + input lane)*OUT_PLANES + k
//                    holds four channels of output plane block*OUT_PLANES + k; lanes that are no
//                    channel are zero. Each of up to four concatenated inputs (segments) is padded
//                    to planes of 4 channels on its own.
// Bindings  0 params, 1 weights, 2 packed
// Constants OUT_PLANES
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
  taps: u32,
  first: u32,
  outputStride: u32,
  inputStride: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let index = id.y * params.stride + id.x;
  if (index >= params.count) {
    return;
  }
  let k = index % ${OUT_PLANES}u;
  let lane = index / ${OUT_PLANES}u % 4u;
  let row = index / ${4 * OUT_PLANES}u;
  let plane = row % params.inputPlanes;
  let tap = row / params.inputPlanes % params.taps;
  let block = row / params.inputPlanes / params.taps;

  var segment = params.segments[0];
  //@for s in 1..4
  if (plane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (plane - segment.firstPlane) * 4u + lane;
  let output = (block * ${OUT_PLANES}u + k) * 4u;
  let at = params.first + (segment.firstChannel + channel) * params.inputStride + tap;
  var value = vec4f();
  //@for c in 0..4
  if (channel < segment.channels && output + ${c}u < params.outputChannels) {
    value.${lane(c)} = weights[at + (output + ${c}u) * params.outputStride];
  }
  //@end
  packed[index] = value;
}
