// Adds some rows of a map to a map of another size, by bilinear interpolation. Rings of rows hold
// both.
//
// Formula   area[c, y, x] += bilinear(added[c])(y', x') for first <= y < end, with
//           source = (target + 0.5) * size_added / size - 0.5, clamped (PyTorch, align_corners=False)
// Layout    added [blocks, added_rows, added_width] vec4, area [blocks, rows, width] vec4, both without
//           border; row y lies at y mod the rows held
// Bindings  0 params, 1 span [first, end], 2 added, 3 area
// Grid      x over columns, y over the rows from the first on, z over the blocks that both hold

struct Params {
  added_width: u32,
  added_height: u32,
  added_rows: u32,
  added_block: u32, // of the first block in its buffer
  width: u32,
  rows: u32,
  block: u32,
  step_x: f32, // added_width / width
  step_y: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> span: array<u32>;
//@input(2) added: 'vec4f'
@group(0) @binding(3) var<storage, read_write> area: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let x = id.x;
  let y = span[0] + id.y;
  if (x >= params.width || y >= span[1]) {
    return;
  }
  let size = vec2u(params.added_width, params.added_height);
  let step = vec2f(params.step_x, params.step_y);
  let at = clamp((vec2f(vec2u(x, y)) + 0.5) * step - 0.5, vec2f(), vec2f(size - 1u));
  let low = vec2u(at);
  let high = min(low + 1u, size - 1u);
  let part = at - vec2f(low);
  let plane = (params.added_block + id.z) * params.added_rows;
  let row0 = (plane + low.y % params.added_rows) * size.x;
  let row1 = (plane + high.y % params.added_rows) * size.x;
  let value = mix(
    mix(added_at(row0 + low.x), added_at(row0 + high.x), part.x),
    mix(added_at(row1 + low.x), added_at(row1 + high.x), part.x),
    part.y,
  );
  area[((params.block + id.z) * params.rows + y % params.rows) * params.width + x] += value;
}
