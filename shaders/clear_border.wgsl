// Zeroes what lies around the images of a c4 tensor: border rows and columns and pitch padding.
//
// Formula   y = 0 outside the image
// Layout    c4
// Bindings  0 params, 1 y
// Grid      y over rows, z over planes; the 8 lanes of a row share its cells

struct Params {
  width: u32,
  rows: u32,  // border included
  pitch: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<${IMAGE}>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.y >= params.rows) {
    return;
  }
  let start = (id.z * params.rows + id.y) * params.pitch;
  let whole = id.y == 0u || id.y == params.rows - 1u;
  let cells = select(params.pitch - params.width, params.pitch, whole);
  // Cell 0 is the left border; the others of an image row follow the image.
  let skipped = select(params.width, 0u, whole);
  for (var cell = id.x; cell < cells; cell += 8u) {
    y[start + cell + select(0u, skipped, cell > 0u)] = ${IMAGE}(vec4f());
  }
}
