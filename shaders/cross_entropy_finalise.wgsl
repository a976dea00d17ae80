// Weighted mean from partial sums: the last step of cross-entropy, multiclass and binary.
//
// Formula   loss = sum(losses) / sum(weights), or 0 where nothing has weight
// Layout    partials [count] of (sum of losses, sum of weights); loss [1]; total [1]
// Bindings  0 params, 1 partials, 2 loss, 3 total
// Constants LANES: invocations, a power of two
// Grid      one workgroup

@group(0) @binding(0) var<storage, read> count: u32;
@group(0) @binding(1) var<storage, read> partials: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> total: array<f32>;

var<workgroup> sums: array<vec2f, ${LANES}>;

@compute @workgroup_size(${LANES})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f();
  for (var i = lane; i < count; i += ${LANES}u) {
    sum += partials[i];
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) {
      sum += sums[lane + half];
      sums[lane] = sum;
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    loss[0] = select(0f, sum.x / sum.y, sum.y > 0f);
    total[0] = sum.y;
  }
}
