// Reads and writes memory as fast as a device can: a measurement, not an op.
//
// Formula   y[i] = x[i]
// Layout    arrays of vec4s
// Bindings  0 x, 1 y
// Constants LANES: workgroup size, RUN: vec4s a lane copies, LANES apart
// Grid      x then y over runs of LANES RUN vec4s

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ${LANES * RUN}u + lane;
  //@for i in 0..RUN
  y[first + ${i * LANES}u] = x[first + ${i * LANES}u];
  //@end
}
