// From partial sums to the soft Dice loss and what its gradient needs.
//
// Formula   loss = 1 - mean of N_c / D_c over the classes with sum(t) > 0, or 0 without one, where
//           N_c = 2 sum(p t) + eps, D_c = sum(p) + sum(t) + eps
//           dloss/dp = A_c t + B_c, where A_c = -2 / (D_c classes), B_c = N_c / (D_c^2 classes)
// Layout    partials [block, count] and sums [block] of (sum p t, sum p, sum t), vec4s of four
//           classes; loss [1]; coefficients [block] of (A, B)
// Bindings  PASS sums: 0 params, 1 partials, 2 sums
//           PASS final: 0 params, 1 sums, 2 loss, 3 coefficients
// Constants PASS: sums | final
// Grid      sums: one workgroup a block; final: one workgroup
// Source    Milletari et al., 2016, with sums in place of squares

struct Params {
  count: u32, // partials of a block
  blocks: u32,
  eps: f32,
  firstBlock: u32, // of the partials
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if PASS == 'sums'
//@input(1) partials: 'vec4f'
@group(0) @binding(2) var<storage, read_write> sums: array<array<vec4f, 3>>;

var<workgroup> lanes: array<array<vec4f, 3>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  for (var i = lane; i < params.count; i += 64u) {
    let at = 3u * (group.x * params.count + i);
    a += partials_at(at);
    b += partials_at(at + 1u);
    c += partials_at(at + 2u);
  }
  lanes[lane] = array<vec4f, 3>(a, b, c);
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < 64u; i++) {
      a += lanes[i][0];
      b += lanes[i][1];
      c += lanes[i][2];
    }
    sums[params.firstBlock + group.x] = array<vec4f, 3>(a, b, c);
  }
}
//@else
@group(0) @binding(1) var<storage, read> sums: array<array<vec4f, 3>>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<array<vec4f, 2>>;

@compute @workgroup_size(1)
fn main() {
  var ratios = vec4f();
  var classes = vec4f();
  for (var block = 0u; block < params.blocks; block++) {
    let isPresent = sums[block][2] > vec4f();
    let numerator = 2f * sums[block][0] + params.eps;
    let denominator = sums[block][1] + sums[block][2] + params.eps;
    ratios += select(vec4f(), numerator / denominator, isPresent);
    classes += select(vec4f(), vec4f(1f), isPresent);
  }
  let present = dot(classes, vec4f(1f));
  loss[0] = select(0f, 1f - dot(ratios, vec4f(1f)) / present, present > 0f);
  for (var block = 0u; block < params.blocks; block++) {
    let isPresent = sums[block][2] > vec4f();
    let numerator = 2f * sums[block][0] + params.eps;
    let denominator = sums[block][1] + sums[block][2] + params.eps;
    coefficients[block] = array<vec4f, 2>(
      select(vec4f(), -2f / denominator / present, isPresent),
      select(vec4f(), numerator / denominator / denominator / present, isPresent),
    );
  }
}
//@end
