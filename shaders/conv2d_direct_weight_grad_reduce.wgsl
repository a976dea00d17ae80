// Adds the partial sums of conv2d_direct_weight_grad and brings them into PyTorch's layout.
//
// Formula   dw[o,i,u,v] = sum over strips of partials[strip][place of o,i,u,v]
// Layout    partials  [strip][output block][input plane][kernel row][tap group][tap][input lane]
//                     [output plane of block], four output channels a vec4
//           result    dW [O, I, kH, kW], flat; lanes that are no channel or tap are dropped
// Bindings  0 params, 1 partials, 2 result
// Constants OUT_PLANES, TAPS (of a group)
// Grid      one invocation a vec4 of a strip; x then y

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  strips: u32,
  stripVectors: u32,
  stride: u32, // invocations in a grid row
  outputChannels: u32,
  inputChannels: u32,
  inputPlanes: u32,
  kernelRows: u32,
  kernelColumns: u32,
  tapGroups: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) partials: 'vec4f'
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let index = id.y * params.stride + id.x;
  if (index >= params.stripVectors) {
    return;
  }
  var sum = vec4f();
  for (var strip = 0u; strip < params.strips; strip++) {
    sum += partials_at(strip * params.stripVectors + index);
  }

  let k = index % ${OUT_PLANES}u;
  let lane = index / ${OUT_PLANES}u % 4u;
  let tapOfGroup = index / ${4 * OUT_PLANES}u % ${TAPS}u;
  let task = index / ${4 * OUT_PLANES * TAPS}u;
  let kernelColumn = task % params.tapGroups * ${TAPS}u + tapOfGroup;
  let rowIndex = task / params.tapGroups;
  let kernelRow = rowIndex % params.kernelRows;
  let planeIndex = rowIndex / params.kernelRows;
  let plane = planeIndex % params.inputPlanes;
  let output = (planeIndex / params.inputPlanes * ${OUT_PLANES}u + k) * 4u;

  var segment = params.segments[0];
  //@for s in 1..4
  if (plane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (plane - segment.firstPlane) * 4u + lane;
  if (channel >= segment.channels || kernelColumn >= params.kernelColumns) {
    return;
  }
  let input = segment.firstChannel + channel;
  //@for c in 0..4
  if (output + ${c}u < params.outputChannels) {
    result[(((output + ${c}u) * params.inputChannels + input) * params.kernelRows + kernelRow) *
      params.kernelColumns + kernelColumn] = sum.${lane(c)};
  }
  //@end
}
