// Photos and masks as training sees them: moved, turned, scaled, cropped and recoloured in one pass.
//
// Formula   (x, y) of the result comes from (a x + b y + c, d x + e y + f) of the source, pixel
//           centres at whole numbers: photos bilinear, masks the nearest pixel. Outside of the
//           source photos are 0, as beyond the border of any image, and labels `ignored`.
//           rgb' = clamp(M rgb + o, 0, 1)
// Layout    pixels u32 [N, slot], red in the lowest byte, and labels [N, slot] bytes: rows of each
//           image's own width, from the beginning of its slot; transforms [N] of (a b c width),
//           (d e f height) and three rows of (M, o); y c4 [N, CHANNELS <= 4, H, W]; ids u32 [N, H, W]
// Bindings  0 params, 1 pixels, 2 labels, 3 transforms, 4 y, 5 ids
// Constants CHANNELS: 1..4, lanes past it are zero; the fourth is not recoloured
// Grid      x over the pitch, y over the rows with their border, z over the images

struct Params {
  width: u32,
  height: u32,
  pitch: u32,
  slot: u32, // pixels, a multiple of 4
  ignored: u32,
  firstImage: u32, // of this window
  // words before the first value of the window
  skipPixels: u32,
  skipLabels: u32,
  skipIds: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> transforms: array<array<vec4f, 5>>;
@group(0) @binding(4) var<storage, read_write> y: array<${IMAGE}>;
@group(0) @binding(5) var<storage, read_write> ids: array<u32>;

fn photo(params: Params, at: u32) -> vec4f {
  return unpack4x8unorm(pixels[params.skipPixels + at]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.pitch) {
    return;
  }
  let image = params.firstImage + id.z;
  var value = vec4f();
  let column = id.x - 1u; // wraps to a huge number on the border, which the comparison rejects
  let row = id.y - 1u;
  if (column < params.width && row < params.height) {
    let across = transforms[image][0];
    let down = transforms[image][1];
    let here = vec3f(f32(column), f32(row), 1f);
    let at = vec2f(dot(across.xyz, here), dot(down.xyz, here));
    let size = vec2f(across.w, down.w);
    var label = params.ignored;
    if (all(at > vec2f(-0.5)) && all(at < size - 0.5)) {
      let last = vec2u(size) - 1u;
      let stride = u32(size.x);
      let first = id.z * params.slot;
      let nearest = min(vec2u(floor(at + 0.5)), last);
      let pixel = first + nearest.y * stride + nearest.x;
      label = (labels[params.skipLabels + pixel / 4u] >> (8u * (pixel % 4u))) & 255u;
      let corner = floor(at);
      let share = at - corner;
      let low = vec2u(max(corner, vec2f()));
      let high = min(vec2u(corner + 1f), last);
      let upper = first + low.y * stride;
      let lower = first + high.y * stride;
      value = mix(
        mix(photo(params, upper + low.x), photo(params, upper + high.x), share.x),
        mix(photo(params, lower + low.x), photo(params, lower + high.x), share.x),
        share.y,
      );
      let rgb = vec4f(value.xyz, 1f);
      value.x = clamp(dot(transforms[image][2], rgb), 0f, 1f);
      value.y = clamp(dot(transforms[image][3], rgb), 0f, 1f);
      value.z = clamp(dot(transforms[image][4], rgb), 0f, 1f);
//@for c in CHANNELS..4
      value.${lane(c)} = 0.0;
//@end
    }
    ids[params.skipIds + (id.z * params.height + row) * params.width + column] = label;
  }
  y[(id.z * (params.height + 2u) + id.y) * params.pitch + id.x] = ${IMAGE}(value);
}
