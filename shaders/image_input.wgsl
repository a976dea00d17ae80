// Photos as 8-bit RGBA words -> normalised float planes.
//
// Formula   y[n, c] = byte c of the pixel / 255
// Layout    pixels u32 [N, H, W] flat, red in the lowest byte; y c4 [N, CHANNELS <= 4, H, W]
// Bindings  0 params, 1 pixels, 2 y
// Constants CHANNELS: 1..4, lanes past it are zero
// Grid      x over the pitch, y over the rows with their border, z over the images

struct Params {
  width: u32,
  height: u32,
  pitch: u32,
  skip: u32, // words before the first pixel
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.pitch) {
    return;
  }
  var value = vec4f();
  let px = id.x - 1u; // wraps to a huge number on the border, which the comparison rejects
  let py = id.y - 1u;
  if (px < params.width && py < params.height) {
    let word = pixels[params.skip + (id.z * params.height + py) * params.width + px];
    value = unpack4x8unorm(word);
//@for c in CHANNELS..4
    value.${lane(c)} = 0.0;
//@end
  }
  y[(id.z * (params.height + 2u) + id.y) * params.pitch + id.x] = ${IMAGE}(value);
}
