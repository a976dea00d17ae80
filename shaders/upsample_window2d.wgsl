// Bilinear resizing of a window of an image, where the window's place decides the weights: they
// come with an input instead of the params.
//
// Formula   y[i, j] = (1 - v) * top + v * bottom, with
//           top = (1 - u) * x[r, c] + u * x[r, c + 1] and bottom = the same of row r + 1;
//           u = 0 in the last column and v = 0 in the last row of x
// Layout    x, y c4; taps: (c, bits of u) for every output column, then (r, bits of v) for every
//           row, computed by the host in double precision
// Bindings  0 params, 1 x, 2 taps, 3 y
// Grid      x pitch, y rows, z planes of the output, border included

struct Params {
  width: u32, // of the output
  height: u32,
  pitch: u32,
  plane_size: u32,
  in_pitch: u32,
  in_plane_size: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
@group(0) @binding(2) var<storage, read> taps: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> y: array<${IMAGE}>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.pitch) {
    return;
  }
  let pixel = id.xy - vec2u(1u); // wraps on the border, where it is no pixel either
  var value = vec4f();
  if (pixel.x < params.width && pixel.y < params.height) {
    let across = taps[pixel.x];
    let down = taps[params.width + pixel.y];
    let u = bitcast<f32>(across.y);
    let v = bitcast<f32>(down.y);
    let at = id.z * params.in_plane_size + (down.x + 1u) * params.in_pitch + across.x + 1u;
    let below = at + params.in_pitch;
    let top = (1.0 - u) * x_at(at) + u * x_at(at + 1u);
    let bottom = (1.0 - u) * x_at(below) + u * x_at(below + 1u);
    value = (1.0 - v) * top + v * bottom;
  }
  y[id.z * params.plane_size + id.y * params.pitch + id.x] = ${IMAGE}(value);
}
