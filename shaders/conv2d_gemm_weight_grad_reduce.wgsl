// Adds the partial sums of conv2d_gemm_weight_grad and brings them into PyTorch's layout.
//
// Formula   dw[o,i,u,v] = sum over the partial sums of i's input of sums[place of o,i,u,v]
// Layout    partials  by input: [sum][tap group][input plane][tap][input lane][output plane], four
//                     output channels a vec4
//           result    dW [O, I, kH, kW], flat; lanes that are no channel are dropped
// Bindings  0 params, 1 partials, 2 result
// Constants TAPS of a group; VECTORS of a workgroup; LANES: invocations that share a vec4, since one
//           alone would wait for memory as often as there are partial sums
// Grid      VECTORS vec4s of dW a workgroup, output plane fastest, then lane, tap, input plane, tap
//           group; x then y

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Partials {
  firstVector: u32,
  count: u32,
}

struct Params {
  count: u32,
  stride: u32, // vec4s in a grid row
  outputChannels: u32,
  inputChannels: u32,
  outputPlanes: u32,
  groups: u32,
  inputPlanes: u32,
  kernelTaps: u32,
  segments: array<Segment, 4>,
  partials: array<Partials, 4>,
  taps: array<u32>, // of each group
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

var<workgroup> sums: array<array<vec4f, ${VECTORS}>, ${LANES}>;

@compute @workgroup_size(${VECTORS}, ${LANES})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let wanted = group_id.y * params.stride + group_id.x * ${VECTORS}u + local.x;
  let index = min(wanted, params.count - 1u);
  let outputPlane = index % params.outputPlanes;
  let laneIndex = index / params.outputPlanes;
  let tapIndex = laneIndex / 4u;
  let planeIndex = tapIndex / ${TAPS}u;
  let plane = planeIndex % params.inputPlanes;
  let group = planeIndex / params.inputPlanes;

  var segment = params.segments[0];
  var own = params.partials[0];
  //@for s in 1..4
  if (plane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
    own = params.partials[${s}];
  }
  //@end

  let planes = (segment.channels + 3u) / 4u;
  let vectors = params.groups * planes * ${TAPS * 4}u * params.outputPlanes;
  let place = (((group * planes + plane - segment.firstPlane) * ${TAPS}u + tapIndex % ${TAPS}u) * 4u +
    laneIndex % 4u) * params.outputPlanes + outputPlane;
  var sum = vec4f();
  for (var i = local.y; i < own.count; i += ${LANES}u) {
    sum += partials[own.firstVector + i * vectors + place];
  }
  sums[local.y][local.x] = sum;
  workgroupBarrier();

  let channel = (plane - segment.firstPlane) * 4u + laneIndex % 4u;
  if (local.y > 0u || wanted >= params.count || channel >= segment.channels) {
    return;
  }
  //@for i in 1..LANES
  sum += sums[${i}][local.x];
  //@end
  let input = segment.firstChannel + channel;
  let tap = params.taps[group * ${TAPS}u + tapIndex % ${TAPS}u];
  //@for c in 0..4
  if (outputPlane * 4u + ${c}u < params.outputChannels) {
    result[((outputPlane * 4u + ${c}u) * params.inputChannels + input) * params.kernelTaps + tap] =
      sum.${lane(c)};
  }
  //@end
}
