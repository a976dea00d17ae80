// Gradient of the weighted mean cross-entropy for the logits.
//
// Formula   dx_k = dy * weight[t] / total * (exp(x_k - m) / s - [k = t]); 0 for pixels that are
//           ignored; FOCAL: times the slope
// Layout    logits, dx c4 [N, K, H, W]; ids u32 [N, H, W]; normaliser [N, H, W] of (m, 1 / s) or
//           (m, 1 / s, slope, 0) as cross_entropy_forward left it; dy [1]; total [1]
// Bindings  0 params, 1 dy, 2 logits, 3 normaliser, 4 total, 5 ids, 6 dx; WEIGHTED: 7 weight [K]
// Constants WEIGHTED: 0 | 1; FOCAL: 0 | 1
// Grid      x pitch, y rows of a plane, z images; the border is written, too

struct Params {
  classes: u32,
  blocks: u32, // planes of four channels
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
  firstBlock: u32,     // of the part that is bound
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
//@input(2) logits: IMAGE
//@if FOCAL
//@input(3) normaliser: 'vec4f'
//@else
@group(0) @binding(3) var<storage, read> normaliser: array<vec2f>;
//@end
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> dx: array<${IMAGE}>;
//@if WEIGHTED
@group(0) @binding(7) var<storage, read> weight: array<f32>;
//@end

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let n = id.z;
  if (id.y >= params.height + 2u) {
    return;
  }
  var at = n * params.blocks * params.planeSize + id.y * params.pitch + id.x;
  var t = 0u;
  var factor = 0f;
  var statistics = vec2f();
  // Coordinates wrap below 0, so one comparison tests both ends.
  let x = id.x - 1u;
  let y = id.y - 1u;
  if (x < params.width && y < params.height) {
    let pixel = (n * params.height + y) * params.width + x;
    t = ids[params.idsSkip + pixel];
    if (t < params.classes && t != params.ignored && total[0] > 0f) {
//@if FOCAL
      let focus = normaliser_at(params.normaliserSkip + pixel);
      statistics = focus.xy;
//@else
      statistics = normaliser[params.normaliserSkip + pixel];
//@end
//@if WEIGHTED
      factor = dy[0] / total[0] * weight[t];
//@else
      factor = dy[0] / total[0];
//@end
//@if FOCAL
      factor *= focus.z;
//@end
    }
  }
  var channels = 4u * params.firstBlock + vec4u(0u, 1u, 2u, 3u);
  let end = min(params.blocks, params.firstBlock + params.partBlocks);
  for (var block = params.firstBlock; block < end; block++) {
    let p = exp(logits_at(at) - statistics.x) * statistics.y;
    let gradient = factor * select(p, p - 1f, channels == vec4u(t));
    // Where the factor is 0 the exponential may be infinite, and their product no number.
    let valid = (channels < vec4u(params.classes)) & vec4<bool>(factor != 0f);
    dx[at] = ${IMAGE}(select(vec4f(), gradient, valid));
    channels += vec4u(4u);
    at += params.planeSize;
  }
}
