// Transforms the sums of conv2d_winograd_weight_grad to weight gradients in PyTorch's layout.
//
// Formula: dw[o,i] = G^T (sum over strips of S) G, turned by 180 degrees, G being that of Winograd's
//   algorithms, see conv2d_winograd_pack_weights.wgsl
// Layout
//   sums    see conv2d_winograd_weight_grad.wgsl
//   result  dW [O, I, 3, 3], flat; lanes that are no channel are dropped
//   Each of up to four concatenated inputs (segments) is padded to planes of 4 channels on its own.
// Bindings: 0 params, 1 sums, 2 result
// Constants: SIDE, PAIRS = SIDE / 2, POINT_0, POINT_1 and, with three pairs, POINT_2
// Grid: one invocation a vec4 of a position, in workgroups of 64, x then y.

//@let N = SIDE + 2

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
//@input(1) sums: 'vec4f'
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const p0 = ${POINT_0};
const p1 = ${POINT_1};
const s0 = p0 * p0;
const s1 = p1 * p1;
//@if PAIRS == 2
const scale = 1.0 / (s0 * s1);
const scale0 = 1.0 / (2.0 * s0 * (s0 - s1));
const scale1 = 1.0 / (2.0 * s1 * (s1 - s0));
//@else
const p2 = ${POINT_2};
const s2 = p2 * p2;
const scale = -1.0 / (s0 * s1 * s2);
const scale0 = 1.0 / (2.0 * s0 * (s0 - s1) * (s0 - s2));
const scale1 = 1.0 / (2.0 * s1 * (s1 - s0) * (s1 - s2));
const scale2 = 1.0 / (2.0 * s2 * (s2 - s0) * (s2 - s1));
//@end

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
  // m${row}_${column}: the sum of all strips
  //@for y in 0..N
  $each(x in 0..N){ var m${y}_${x} = vec4<f32>(); }
  //@end
  var at = index;
  for (var strip = 0u; strip < params.strips; strip++) {
    //@for y in 0..N
    $each(x in 0..N){ m${y}_${x} += sums_at(at + ${N * y + x}u * vectors); }
    //@end
    at += ${N * N}u * vectors;
  }
  // g${row}_${column}: G^T S
  //@for x in 0..N
  //@for p in 0..PAIRS
  let even${p}_${x} = scale${p} * (m${2 * p + 1}_${x} + m${2 * p + 2}_${x});
  let odd${p}_${x} = scale${p} * p${p} * (m${2 * p + 1}_${x} - m${2 * p + 2}_${x});
  //@end
  let g0_${x} = scale * m0_${x} + $sum(p in 0..PAIRS){even${p}_${x}};
  let g1_${x} = $sum(p in 0..PAIRS){odd${p}_${x}};
  let g2_${x} = m${N - 1}_${x} + $sum(p in 0..PAIRS){s${p} * even${p}_${x}};
  //@end
  // w${tap}
  //@for y in 0..3
  //@for p in 0..PAIRS
  let evenOf${y}_${p} = scale${p} * (g${y}_${2 * p + 1} + g${y}_${2 * p + 2});
  let oddOf${y}_${p} = scale${p} * p${p} * (g${y}_${2 * p + 1} - g${y}_${2 * p + 2});
  //@end
  let w${8 - 3 * y} = scale * g${y}_0 + $sum(p in 0..PAIRS){evenOf${y}_${p}};
  let w${7 - 3 * y} = $sum(p in 0..PAIRS){oddOf${y}_${p}};
  let w${6 - 3 * y} = g${y}_${N - 1} + $sum(p in 0..PAIRS){s${p} * evenOf${y}_${p}};
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
