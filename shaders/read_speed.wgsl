// Sums of vec4s that every lane reads elsewhere, or all at the same place: how fast an adapter reads,
// not an op.
//
// Formula   y[i] = sum over k < 64 of x[(i + 61 k) mod 4096], or of x[0]
// Layout    x and y are arrays of vec4s
// Bindings  0 y, 1 x
// Constants SAME: 1 reads x[0]
// Grid      x over the elements of y, 16 a workgroup as in the kernels that read most

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
//@input(1) x: 'vec4f'

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = vec4f();
  for (var k = 0u; k < 64u; k++) {
    sum += x_at(${SAME ? '0u' : '(id.x + 61u * k) % 4096u'});
  }
  y[id.x] = sum;
}
