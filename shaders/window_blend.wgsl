// Adds a window of a map, weighted, to a ring of rows that collects the whole map.
//
// Formula   area[c, (top + y) mod ring_rows, left + x] (+)= column[x] * row[y] * values[c, y', x']
//           with x' = width - 1 - x where flip has bit 0, y' = height - 1 - y where it has bit 1;
//           (+)= adds where left + x < keep_x or top + y < keep_y (an earlier window was there),
//           else it overwrites what the ring held before
// Layout    values c4 [1, C, height, width]; area [blocks, ring_rows, area_width] vec4 without
//           border, the blocks first_block and following of C; weights: columns, then rows
// Bindings  0 params, 1 values, 2 weights, 3 placement [left, top, keep_x, keep_y, flip], 4 area
// Grid      x over the window's columns, y over its rows, z over the blocks of this area

struct Params {
  width: u32,
  height: u32,
  pitch: u32,
  first_block: u32,
  ring_rows: u32,
  area_width: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) values: IMAGE
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> placement: array<u32>;
@group(0) @binding(4) var<storage, read_write> area: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let size = vec2u(params.width, params.height);
  if (id.x >= size.x) {
    return;
  }
  let mapped = vec2u(placement[0], placement[1]) + id.xy;
  let flip = placement[4];
  let x = select(id.x, size.x - 1u - id.x, (flip & 1u) != 0u);
  let y = select(id.y, size.y - 1u - id.y, (flip & 2u) != 0u);
  let plane = (size.y + 2u) * params.pitch;
  let source = (params.first_block + id.z) * plane + (y + 1u) * params.pitch + x + 1u;
  let value = weights[id.x] * weights[size.x + id.y] * values_at(source);
  let row = id.z * params.ring_rows + mapped.y % params.ring_rows;
  let slot = row * params.area_width + mapped.x;
  if (mapped.x < placement[2] || mapped.y < placement[3]) {
    area[slot] += value;
  } else {
    area[slot] = value;
  }
}
