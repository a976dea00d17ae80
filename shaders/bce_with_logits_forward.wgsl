// Partial sums of the binary cross-entropy of logits.
//
// Formula   loss = t = 1: posWeight * softplus(-x); t = 0: softplus(x); other targets and `ignored`
//           add nothing; softplus(x) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow
// Layout    logits c4 [N, 1, H, W]; targets u32 [N, H, W]; partials
//           [N, chunk of ROWS rows, W] of (sum of losses, number of pixels), which
//           cross_entropy_finalise turns into their mean
// Bindings  0 params, 1 logits, 2 targets, 3 partials
// Constants ROWS
// Grid      x columns, y chunks of ROWS rows, z images

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
//@input(1) logits: IMAGE
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec2f>;

/** log(1 + e) for 0 <= e <= 1 as 2 atanh(e / (2 + e)): 1 + e itself would swallow a small e. */
fn log1p(e: f32) -> f32 {
  let z = e / (2f + e);
  let q = z * z;
  var series = 1f / 15f;
//@for k in 0..7
  series = series * q + 1f / ${13 - 2 * k}f;
//@end
  return 2f * z * series;
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.width || id.y >= params.chunks) {
    return;
  }
  let end = min(params.height, (id.y + 1u) * ${ROWS}u);
  var sum = vec2f();
  for (var y = id.y * ${ROWS}u; y < end; y++) {
    let t = targets[params.idsSkip + (id.z * params.height + y) * params.width + id.x];
    let x = logits_at(id.z * params.planeSize + (y + 1u) * params.pitch + id.x + 1u).x;
    let positive = t == 1u;
    // The loss of a positive is that of a negative with the logit's sign turned.
    let z = select(x, -x, positive);
    let loss = max(z, 0f) + log1p(exp(-abs(z)));
    let weighted = select(loss, params.posWeight * loss, positive);
    sum += select(vec2f(), vec2f(weighted, 1f), t < 2u && t != params.ignored);
  }
  partials[((params.firstImage + id.z) * params.chunks + id.y) * params.width + id.x] = sum;
}
