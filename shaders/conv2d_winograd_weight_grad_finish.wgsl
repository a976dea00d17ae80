// Transforms the sums of conv2d_winograd_weight_grad to weight gradients in PyTorch's layout.
//
// Formula: dw[o,i] = G^T (sum over strips of S) G, turned by 180 degrees, G being that of Winograd's
//   F(4x4,3x3), see conv2d_winograd_pack_weights.wgsl
// Layout
//   sums    see conv2d_winograd_weight_grad.wgsl
//   result  dW [O, I, 3, 3], flat; lanes that are no channel are dropped
//   Each of up to four concatenated inputs (segments) is padded to planes of 4 channels on its own.
// Bindings: 0 params, 1 sums, 2 result
// Constants: POINT_A, POINT_B
// Grid: one invocation a vec4 of a position, in workgroups of 64, x then y.

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  strips: u32,
  groupsX: u32,
  outputChannels: u32,
  inputChannels: u32,
  gradientPlanes: u32,
  inputPlanes: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const a = ${POINT_A};
const b = ${POINT_B};
const scale0 = 1.0 / (a * a * b * b);
const scaleA = 1.0 / (2.0 * a * a * (a * a - b * b));
const scaleB = 1.0 / (2.0 * b * b * (b * b - a * a));

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let index = (group.y * params.groupsX + group.x) * 64u + lane;
  let vectors = params.inputPlanes * 4u * params.gradientPlanes;
  if (index >= vectors) {
    return;
  }
  // s${row}_${column}
  //@for y in 0..6
  $each(x in 0..6){ var s${y}_${x} = vec4<f32>(); }
  //@end
  var at = index;
  for (var strip = 0u; strip < params.strips; strip++) {
    //@for y in 0..6
    $each(x in 0..6){ s${y}_${x} += sums[at + ${6 * y + x}u * vectors]; }
    //@end
    at += 36u * vectors;
  }
  //@for x in 0..6
  let sumA${x} = scaleA * (s1_${x} + s2_${x});
  let sumB${x} = scaleB * (s3_${x} + s4_${x});
  let g0_${x} = scale0 * s0_${x} + sumA${x} + sumB${x};
  let g1_${x} = scaleA * a * (s1_${x} - s2_${x}) + scaleB * b * (s3_${x} - s4_${x});
  let g2_${x} = a * a * sumA${x} + b * b * sumB${x} + s5_${x};
  //@end
  //@for y in 0..3
  let sumA${6 + y} = scaleA * (g${y}_1 + g${y}_2);
  let sumB${6 + y} = scaleB * (g${y}_3 + g${y}_4);
  let w${8 - 3 * y} = scale0 * g${y}_0 + sumA${6 + y} + sumB${6 + y};
  let w${7 - 3 * y} = scaleA * a * (g${y}_1 - g${y}_2) + scaleB * b * (g${y}_3 - g${y}_4);
  let w${6 - 3 * y} = a * a * sumA${6 + y} + b * b * sumB${6 + y} + g${y}_5;
  //@end

  let output = index % params.gradientPlanes * 4u;
  let inputLane = index / params.gradientPlanes % 4u;
  let inputPlane = index / params.gradientPlanes / 4u;
  var segment = params.segments[0];
  //@for s in 1..4
  if (inputPlane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (inputPlane - segment.firstPlane) * 4u + inputLane;
  let endOutput = select(0u, params.outputChannels, channel < segment.channels);
  let place = (output * params.inputChannels + segment.firstChannel + channel) * 9u;
  //@for c in 0..4
  if (output + ${c}u < endOutput) {
    let first = place + ${c}u * params.inputChannels * 9u;
    $each(t in 0..9){ result[first + ${t}u] = w${t}.${lane(c)}; }
  }
  //@end
}
