// Partial sums of soft Dice for four classes at a time.
//
// Formula   sum(p t), sum(p), sum(t) over pixels that count; p = softmax of the logits (BINARY:
//           sigmoid), t = 1 where the pixel is of the class, else 0
// Layout    logits c4 [N, K, H, W]; ids u32 [N, H, W]; normaliser [N, H, W] of (m, 1 / s) as
//           cross_entropy_forward left it; partials [block, N, chunk of ROWS rows, W] of three vec4s
// Bindings  0 params, 1 logits, 2 ids, 3 partials; multiclass: 4 normaliser
// Constants ROWS; BINARY: 0 | 1
// Grid      x columns, y chunks of ROWS rows, z planes

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
  batch: u32,
  firstBlock: u32,     // of the window that is bound
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) logits: IMAGE
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> partials: array<array<vec4f, 3>>;
//@if !BINARY
@group(0) @binding(4) var<storage, read> normaliser: array<vec2f>;
//@end

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.width || id.y >= params.chunks) {
    return;
  }
  let n = id.z / params.partBlocks;
  let block = id.z % params.partBlocks;
  let channels = 4u * (params.firstBlock + block) + vec4u(0u, 1u, 2u, 3u);
  let end = min(params.height, (id.y + 1u) * ${ROWS}u);
  var overlap = vec4f();
  var predicted = vec4f();
  var labelled = vec4f();
  for (var y = id.y * ${ROWS}u; y < end; y++) {
    let pixel = (n * params.height + y) * params.width + id.x;
    let v = logits_at(id.z * params.planeSize + (y + 1u) * params.pitch + id.x + 1u);
    let t = ids[params.idsSkip + pixel];
//@if BINARY
    let isClass = channels == vec4u(t - 1u);
    let p = vec4f(1f) / (1f + exp(-v));
    let counts = t < 2u && t != params.ignored;
//@else
    let isClass = channels == vec4u(t);
    let statistics = normaliser[params.normaliserSkip + pixel];
    let p = exp(v - statistics.x) * statistics.y;
    let counts = t < params.classes && t != params.ignored;
//@end
    let used = vec4<bool>(counts) & (channels < vec4u(params.classes));
    overlap += select(vec4f(), p, used & isClass);
    predicted += select(vec4f(), p, used);
    labelled += select(vec4f(), vec4f(1f), used & isClass);
  }
  let image = block * params.batch + params.firstImage + n;
  let at = (image * params.chunks + id.y) * params.width + id.x;
  partials[at] = array<vec4f, 3>(overlap, predicted, labelled);
}
