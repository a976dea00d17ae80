// The class of every pixel: the channel of the largest value, or whether the probability of the
// positive class exceeds a threshold.
//
// Formula   argmax: the first channel with the largest x; threshold: 1 where p > threshold, else 0,
//           with p = sigmoid(x_0) for one channel and softmax(x)_1 = sigmoid(x_1 - x_0) for two
// Layout    x: c4; y: flat u32 [N, H, W]
// Bindings  0 params, 1 x, 2 y
// Constants OP: argmax | threshold; CHANNELS: 1 | 2, of threshold
// Grid      width in x, height in y, images in z

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  threshold: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  let column = id.x;
  if (column >= params.width) {
    return;
  }
  let rows = params.height + 2u;
  var at = (group.z * params.blocks * rows + group.y + 1u) * params.pitch + column + 1u;
  let target_at = (group.z * params.height + group.y) * params.width + column;
//@if OP == 'threshold'
//@if CHANNELS == 1
  let logit = x[at].x;
//@else
  let logit = x[at].y - x[at].x;
//@end
  // exp of a positive number could overflow.
  let e = exp(-abs(logit));
  let probability = select(e, 1.0, logit >= 0.0) / (1.0 + e);
  y[target_at] = select(0u, 1u, probability > params.threshold);
//@else
  let channels = params.channels;
  var best = 0u;
  var largest = x[at].x;
  for (var channel = 0u; channel < channels; channel += 4u) {
    let values = x[at];
//@for c in 0..4
    if (channel + ${c}u < channels && values.${lane(c)} > largest) {
      largest = values.${lane(c)};
      best = channel + ${c}u;
    }
//@end
    at += rows * params.pitch;
  }
  y[target_at] = best;
//@end
}
