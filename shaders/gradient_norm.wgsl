// Euclidean norm of all gradients: partial sums of squares, then their root and the factor that
// brings it down to a maximum.
//
// Formula   norm = sqrt(sum of g^2), factor = min(1, maxNorm / (norm + 1e-6))
// Layout    PASS partial: gradients, a window of the arena as vec4s; partials, one an invocation
//           PASS final: partials; norm (norm, factor, 0, 0)
// Bindings  0 params, 1 gradients or partials, 2 partials or norm
// Constants PASS: partial | final
// Grid      partial: one invocation for `chunk` vec4s, 64 vec4s apart; x then y. final: one workgroup
// Source    torch.nn.utils.clip_grad_norm_

struct Params {
  count: u32,  // vec4s of the window; partials
  chunk: u32,  // vec4s an invocation
  groups: u32, // workgroups in a grid row
  first: u32,  // partial of the first invocation
  maxNorm: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if PASS == 'partial'
@group(0) @binding(1) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = group.y * params.groups + group.x;
  if (block * params.chunk * 64u >= params.count) {
    return;
  }
  var i = block * params.chunk * 64u + lane;
  var sum = 0f;
  for (var k = 0u; k < params.chunk && i < params.count; k++) {
    sum += dot(gradients[i], gradients[i]);
    i += 64u;
  }
  partials[params.first + block * 64u + lane] = sum;
}
//@else
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<vec4f>;

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
    let length = sqrt(sum);
    norm[0] = vec4f(length, min(1f, params.maxNorm / (length + 1e-6f)), 0f, 0f);
  }
}
//@end
