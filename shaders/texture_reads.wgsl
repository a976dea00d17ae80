// Sums of texels that every lane reads elsewhere: a check of the driver, not an op.
//
// Formula   y[i] = sum over k < 8 of (k + 1) x[(7 i + 5 k) mod 4096]
// Layout    x a texture of 64 x 64 texels, row by row; y an array of vec4s
// Bindings  0 x, 1 y
// Grid      x over the elements of y, 16 a workgroup as in the kernels that read textures

@group(0) @binding(0) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = vec4f();
  for (var k = 0u; k < 8u; k++) {
    let at = (7u * id.x + 5u * k) % 4096u;
    sum += f32(k + 1u) * textureLoad(x, vec2u(at % 64u, at / 64u));
  }
  y[id.x] = sum;
}
