// The class of every pixel: the channel of the largest value, or whether the probability of the
// positive class exceeds a threshold.
//
// Formula   argmax: the first channel with the largest x; threshold: 1 where p > threshold, else 0,
//           with p = sigmoid(x_0) for one channel and softmax(x)_1 = sigmoid(x_1 - x_0) for two
// Layout    x: c4; y: flat u32 [N, H, W]
// Bindings  0 params, 1 .. PARTS x, last y
// Constants OP: argmax | threshold; CHANNELS: 1 | 2, of threshold; PARTS: bindings of x, more than
//           one where a single image is too large for one
// Grid      width in x, height in y, images in z

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  threshold: f32,
  partBlocks: u32, // planes of an image in a part
  skip: u32,       // words of y before the first pixel
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..PARTS
//@input(s + 1) x${s}: IMAGE
//@end
@group(0) @binding(${PARTS + 1}) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let column = id.x;
  if (column >= params.width) {
    return;
  }
  let rows = params.height + 2u;
  let first = (group.z * params.blocks * rows + group.y + 1u) * params.pitch + column + 1u;
  let target_at = params.skip + (group.z * params.height + group.y) * params.width + column;
//@if OP == 'threshold'
//@if CHANNELS == 1
  let logit = x0_at(first).x;
//@else
  let scores = x0_at(first);
  let logit = scores.y - scores.x;
//@end
  // exp of a positive number could overflow.
  let e = exp(-abs(logit));
  let probability = select(e, 1.0, logit >= 0.0) / (1.0 + e);
  y[target_at] = select(0u, 1u, probability > params.threshold);
//@else
  let channels = params.channels;
  var best = 0u;
  var largest = x0_at(first).x;
  var at = first;
  let partChannels = 4u * params.partBlocks;
//@for s in 0..PARTS
  at = first;
  for (
    var channel = ${s}u * partChannels;
    channel < min(channels, ${s + 1}u * partChannels);
    channel += 4u
  ) {
    let values = x${s}_at(at);
//@for c in 0..4
    if (channel + ${c}u < channels && values.${lane(c)} > largest) {
      largest = values.${lane(c)};
      best = channel + ${c}u;
    }
//@end
    at += rows * params.pitch;
  }
//@end
  y[target_at] = best;
//@end
}
