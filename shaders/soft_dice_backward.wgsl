// Gradient of soft Dice for the logits, through softmax or sigmoid.
//
// Formula   g_k = A_k t_k + B_k;  softmax: dx_k = dy p_k (g_k - sum_j p_j g_j);
//           BINARY: dx = dy p (1 - p) g; 0 for pixels that do not count
// Layout    logits, dx c4 [N, K, H, W]; ids u32 [N, H, W]; coefficients [block] of (A, B) as
//           soft_dice_finalise left them; normaliser [N, H, W] of (m, 1 / s); dy [1]
// Bindings  0 params, 1 dy, PARTS logits, ids, coefficients, PARTS dx; multiclass: normaliser
// Constants BINARY: 0 | 1; PARTS: bindings of logits and dx, more than one where a single image is
//           too large for one
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
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
//@for s in 0..PARTS
//@input(s + 2) logits${s}: IMAGE
@group(0) @binding(${PARTS + s + 4}) var<storage, read_write> dx${s}: array<${IMAGE}>;
//@end
@group(0) @binding(${PARTS + 2}) var<storage, read> ids: array<u32>;
//@input(PARTS + 3) coefficients: 'vec4f'
//@if !BINARY
@group(0) @binding(${2 * PARTS + 4}) var<storage, read> normaliser: array<vec2f>;
//@end

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let n = id.z;
  if (id.y >= params.height + 2u) {
    return;
  }
  let first = n * params.blocks * params.planeSize + id.y * params.pitch + id.x;
  // Coordinates wrap below 0, so one comparison tests both ends.
  let column = id.x - 1u;
  let row = id.y - 1u;
  let pixel = (n * params.height + row) * params.width + column;
  var counts = column < params.width && row < params.height;
  var t = 0u;
  if (counts) {
    t = ids[params.idsSkip + pixel];
  }
//@if BINARY
  counts = counts && t < 2u && t != params.ignored;
  let p = 1f / (1f + exp(-logits0_at(first).x));
  let g = coefficients_at(0u).x * f32(t) + coefficients_at(1u).x;
  dx0[first] = ${IMAGE}(vec4f(select(0f, dy[0] * p * (1f - p) * g, counts), 0f, 0f, 0f));
//@else
  counts = counts && t < params.classes && t != params.ignored;
  var statistics = vec2f();
  var mean = 0f;
//@for s in 0..PARTS
  let begin${s} = ${s}u * params.partBlocks;
  let end${s} = min(params.blocks, ${s + 1}u * params.partBlocks);
//@end
  if (counts) {
    statistics = normaliser[params.normaliserSkip + pixel];
//@for s in 0..PARTS
    for (var block = begin${s}; block < end${s}; block++) {
      let channels = 4u * block + vec4u(0u, 1u, 2u, 3u);
      let p = exp(logits${s}_at(first + (block - begin${s}) * params.planeSize) - statistics.x) * statistics.y;
      let a = select(vec4f(), coefficients_at(2u * block), channels == vec4u(t));
      mean += dot(select(vec4f(), p, channels < vec4u(params.classes)), a + coefficients_at(2u * block + 1u));
    }
//@end
  }
//@for s in 0..PARTS
  for (var block = begin${s}; block < end${s}; block++) {
    let at = first + (block - begin${s}) * params.planeSize;
    let channels = 4u * block + vec4u(0u, 1u, 2u, 3u);
    let p = exp(logits${s}_at(at) - statistics.x) * statistics.y;
    let a = select(vec4f(), coefficients_at(2u * block), channels == vec4u(t));
    let gradient = dy[0] * p * (a + coefficients_at(2u * block + 1u) - mean);
    dx${s}[at] = ${IMAGE}(select(vec4f(), gradient, vec4<bool>(counts) & (channels < vec4u(params.classes))));
  }
//@end
//@end
}
