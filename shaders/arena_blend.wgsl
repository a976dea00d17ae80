// Blends one parameter arena into another: gradient accumulation and running averages of weights.
//
// Formula   target = k.x target + k.y source
// Layout    arenas of equal offsets, as vec4s; padding between arrays is 0 and stays 0
// Bindings  0 params, 1 target, 2 source, 3 coefficients k
// Grid      one invocation a vec4; x then y

struct Params {
  count: u32,  // vec4s
  stride: u32, // invocations in a grid row
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> target_values: array<vec4f>;
//@input(2) source: 'vec4f'
//@input(3) coefficients: 'vec4f'

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let i = id.y * params.stride + id.x;
  if (i >= params.count) {
    return;
  }
  let k = coefficients_at(0u);
  // A factor of 0 also forgets what is no number.
  let old = select(k.x * target_values[i], vec4f(), k.x == 0f);
  target_values[i] = old + k.y * source_at(i);
}
