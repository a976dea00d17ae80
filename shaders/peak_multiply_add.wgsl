// Multiply-adds in registers, as many as a device can do: a measurement, not an op.
//
// Formula   ACCUMULATORS vec4s a lane, each a = a m + b ROUNDS * 8 times; y is their sum
// Layout    x two floats, m and b; y an array of vec4s, one a lane, so that nothing can be left out
// Bindings  0 x, 1 y
// Constants LANES: workgroup size; ACCUMULATORS; ROUNDS: steps of the loop
// Grid      x over workgroups of LANES lanes

@group(0) @binding(0) var<storage, read> x: array<f32, 2>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = x[0];
  let b = x[1];
  let start = vec4f(f32(id.x & 15u));
  //@for i in 0..ACCUMULATORS
  var a${i} = start + vec4f(${i}.0);
  //@end
  for (var round = 0u; round < ${ROUNDS}u; round++) {
    //@for k in 0..8
    //@for i in 0..ACCUMULATORS
    a${i} = a${i} * m + b;
    //@end
    //@end
  }
  y[id.x] = $sum(i in 0..ACCUMULATORS){a${i}};
}
