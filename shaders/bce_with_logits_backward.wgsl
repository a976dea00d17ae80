// Gradient of the mean binary cross-entropy for the logits.
//
// Formula   dx = dy / total * (t = 1: posWeight * (p - 1); t = 0: p), p = 1 / (1 + exp(-x));
//           0 for pixels that are ignored
// Layout    logits, dx c4 [N, 1, H, W]; targets u32 [N, H, W]; dy [1]; total [1], the pixels counted
// Bindings  0 params, 1 dy, 2 logits, 3 targets, 4 total, 5 dx
// Grid      x pitch, y rows of a plane, z images; the border is written, too

struct Params {
  classes: u32,
  blocks: u32,
  width: u32,
  height: u32,
  pitch: u32,
  planeSize: u32,
  chunks: u32,
  ignored: u32,
  partBlocks: u32,     // planes of an image in a part of the logits
  firstImage: u32,     // of the window that is bound
  idsSkip: u32,        // pixels before the first one
  normaliserSkip: u32,
  posWeight: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
//@input(2) logits: IMAGE
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<${IMAGE}>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.y >= params.height + 2u) {
    return;
  }
  let at = id.z * params.planeSize + id.y * params.pitch + id.x;
  var gradient = 0f;
  // Coordinates wrap below 0, so one comparison tests both ends.
  let column = id.x - 1u;
  let row = id.y - 1u;
  if (column < params.width && row < params.height) {
    let t = targets[params.idsSkip + (id.z * params.height + row) * params.width + column];
    if (t < 2u && t != params.ignored) {
      let positive = t == 1u;
      // With the sign turned for positives neither end loses digits: p - 1 = -1 / (1 + exp(x)).
      let x = logits_at(at).x;
      let z = select(x, -x, positive);
      let e = exp(-abs(z));
      let p = select(e, 1f, z >= 0f) / (1f + e);
      gradient = dy[0] / total[0] * select(p, -params.posWeight * p, positive);
    }
  }
  dx[at] = ${IMAGE}(vec4f(gradient, 0f, 0f, 0f));
}
