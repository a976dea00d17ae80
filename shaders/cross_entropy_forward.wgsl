// Softmax statistics of every pixel and, where asked for, partial sums of the cross-entropy.
//
// Formula   m = max_k x_k,  s = sum_k exp(x_k - m), in one pass over the channels: when the maximum
//           grows, the sum so far is scaled by exp(old m - new m)
//           loss = weight[t] * (log(s) + m - x_t), with FOCAL times (1 - p_t)^gamma; pixels whose
//           class id is `ignored` or no class add nothing
//           (Milakov and Gimelshein, 2018, "Online normalizer calculation for softmax")
// Layout    logits c4 [N, K, H, W]; ids u32 [N, H, W]; normaliser [N, H, W] of (m, 1 / s),
//           with FOCAL (m, 1 / s, slope, 0), the slope being what the gradient is larger by than
//           that of the cross-entropy: (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p;
//           partials [N, chunk of ROWS rows, W] of (sum of losses, sum of weights)
// Bindings  0 params, 1 .. PARTS logits, then normaliser; with LOSS: ids, partials; WEIGHTED:
//           weight [K]
// Constants ROWS; LOSS: 0 | 1; WEIGHTED: 0 | 1; FOCAL: 0 | 1, with LOSS; PARTS: bindings of the logits, more than one where a
//           single image is too large for one
// Grid      x columns, y chunks of ROWS rows, z images

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
//@if FOCAL
  gamma: f32,
//@end
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..PARTS
//@input(s + 1) logits${s}: IMAGE
//@end
//@if FOCAL
@group(0) @binding(${PARTS + 1}) var<storage, read_write> normaliser: array<vec4f>;
//@else
@group(0) @binding(${PARTS + 1}) var<storage, read_write> normaliser: array<vec2f>;
//@end
//@if LOSS
@group(0) @binding(${PARTS + 2}) var<storage, read> ids: array<u32>;
@group(0) @binding(${PARTS + 3}) var<storage, read_write> partials: array<vec2f>;
//@end
//@if WEIGHTED
@group(0) @binding(${PARTS + 4}) var<storage, read> weight: array<f32>;
//@end

const LOWEST = -3.4e38f;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let x = id.x;
  let chunk = id.y;
  let n = id.z;
  if (x >= params.width || chunk >= params.chunks) {
    return;
  }
//@if LOSS
  var losses = 0f;
  var weights = 0f;
//@end
  let end = min(params.height, (chunk + 1u) * ${ROWS}u);
  for (var y = chunk * ${ROWS}u; y < end; y++) {
    let pixel = (n * params.height + y) * params.width + x;
    let first = n * params.blocks * params.planeSize + (y + 1u) * params.pitch + x + 1u;
    var channels = vec4u(0u, 1u, 2u, 3u);
    var largest = LOWEST;
    var sum = 0f;
//@if LOSS
    let t = ids[params.idsSkip + pixel];
    var chosen = 0f;
//@end
    var at = first;
//@for s in 0..PARTS
    at = first;
    let end${s} = min(params.blocks, ${s + 1}u * params.partBlocks);
    for (var block = ${s}u * params.partBlocks; block < end${s}; block++) {
      let v = select(vec4f(LOWEST), logits${s}_at(at), channels < vec4u(params.classes));
      let grown = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
      sum = sum * exp(largest - grown) + dot(exp(v - grown), vec4f(1f));
      largest = grown;
//@if LOSS
      chosen += dot(select(vec4f(), v, channels == vec4u(t)), vec4f(1f));
//@end
      channels += vec4u(4u);
      at += params.planeSize;
    }
//@end
//@if FOCAL
    var slope = 0f;
//@else
    normaliser[params.normaliserSkip + pixel] = vec2f(largest, 1f / sum);
//@end
//@if LOSS
    if (t < params.classes && t != params.ignored) {
//@if WEIGHTED
      let w = weight[t];
//@else
      let w = 1f;
//@end
      let surprise = log(sum) + (largest - chosen);
//@if FOCAL
      let p = exp(-surprise);
      let miss = 1f - p;
      // Without a miss there is neither loss nor slope, but powers of 0 need not be 0.
      if (miss > 0f) {
        let kept = pow(miss, params.gamma);
        losses += w * kept * surprise;
        slope = kept + params.gamma * p * pow(miss, params.gamma - 1f) * surprise;
      }
//@else
      losses += w * surprise;
//@end
      weights += w;
    }
//@end
//@if FOCAL
    normaliser[params.normaliserSkip + pixel] = vec4f(largest, 1f / sum, slope, 0f);
//@end
  }
//@if LOSS
  partials[((params.firstImage + n) * params.chunks + chunk) * params.width + x] = vec2f(losses, weights);
//@end
}
