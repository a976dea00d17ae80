// Euclidean norm of all gradients: partial sums of squares, then their root and the factor that
// brings it down to a maximum.
//
// Formula   norm = sqrt(sum of g^2), factor = min(1, maxNorm / (norm + 1e-6))
//           SCALED: gradients are scale times too large. norm is that of g / scale, and the factor is
//           divided by the scale. A sum that is no finite number makes the factor 0 and halves the
//           scale, `growthInterval` finite ones in a row double it
// Layout    PASS partial: gradients, a window of the arena as vec4s; partials, one an invocation
//           PASS final: partials; norm (norm, factor, 0, 0); lossScale (scale, updates since it
//           changed, updates left out, of these the last ones in a row)
// Bindings  0 params, 1 gradients or partials, 2 partials or norm, 3 SCALED: lossScale
// Constants PASS: partial | final; SCALED: 0 | 1, for the final pass
// Grid      partial: one invocation for `chunk` vec4s, 64 vec4s apart; x then y. final: one workgroup
// Source    torch.nn.utils.clip_grad_norm_, torch.cuda.amp.GradScaler

struct Params {
  count: u32,  // vec4s of the window; partials
  chunk: u32,  // vec4s an invocation
  groups: u32, // workgroups in a grid row
  first: u32,  // partial of the first invocation
  maxNorm: f32,
  growthInterval: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if PASS == 'partial'
//@input(1) gradients: 'vec4f'
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let block = group.y * params.groups + group.x;
  if (block * params.chunk * 64u >= params.count) {
    return;
  }
  var i = block * params.chunk * 64u + lane;
  var sum = 0f;
  for (var k = 0u; k < params.chunk && i < params.count; k++) {
    let g = gradients_at(i);
    sum += dot(g, g);
    i += 64u;
  }
  partials[params.first + block * 64u + lane] = sum;
}
//@else
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<vec4f>;
//@if SCALED
@group(0) @binding(3) var<storage, read_write> lossScale: array<vec4f>;

const SMALLEST_SCALE = 1f;
const LARGEST_SCALE = 16777216f;
//@end

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0f;
  for (var i = lane; i < params.count; i += 64u) {
    sum += partials[i];
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < 64u; i++) {
      sum += sums[i];
    }
//@if SCALED
    let old = lossScale[0];
    let length = sqrt(sum) / old.x;
    var factor = min(1f, params.maxNorm / (length + 1e-6f)) / old.x;
    // By its bits: compilers may take for granted that no value is infinite or NaN.
    if ((bitcast<u32>(sum) & 0x7f800000u) == 0x7f800000u) {
      factor = 0f;
      lossScale[0] = vec4f(max(old.x * 0.5f, SMALLEST_SCALE), 0f, old.z + 1f, old.w + 1f);
    } else if (old.y + 1f >= f32(params.growthInterval)) {
      lossScale[0] = vec4f(min(old.x * 2f, LARGEST_SCALE), 0f, old.z, 0f);
    } else {
      lossScale[0] = vec4f(old.x, old.y + 1f, old.z, 0f);
    }
    norm[0] = vec4f(length, factor, 0f, 0f);
//@else
    let length = sqrt(sum);
    norm[0] = vec4f(length, min(1f, params.maxNorm / (length + 1e-6f)), 0f, 0f);
//@end
  }
}
//@end
