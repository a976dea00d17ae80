// Bilinear resizing. On a GPU an invocation walks down ROWS output rows of one column and keeps the
// two source rows, already blended along x, in registers: a source row is loaded once for all of the
// output rows that need it. On the processor, which executes both sides of branches, a workgroup is
// one vector that walks along ROWS rows: it writes memory in order.
//
// Formula   y[i, j] = (1 - v) * top + v * bottom, with
//           top = (1 - u) * x[r, c] + u * x[r, c + 1] and bottom = the same of row r + 1;
//           u = 0 in the last column and v = 0 in the last row of x
// Layout    x, y c4; taps: (c, bits of u) for every output column, then (r, bits of v) for every
//           row, computed by the host in double precision
// Bindings  0 params, 1 x, 2 y
// Constants WALK: 0 | 1, along rows; LANES: neighbours in a row that a workgroup takes; ROWS
// Grid      WALK 0: x pitch, y chunks of ROWS rows; 1: y chunks of ROWS rows, border included; z
//           planes of the output; the border is written, too

struct Params {
  width: u32, // of the output
  height: u32,
  pitch: u32,
  planeSize: u32,
  inPitch: u32,
  inPlaneSize: u32,
  chunks: u32,
  unused: u32,
  taps: array<vec2u>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;

//@if WALK
@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = params.width;
  let height = params.height;
  let pitch = params.pitch;
  let inPitch = params.inPitch;
  let plane = group.z * params.inPlaneSize;
  //@for k in 0..ROWS
  // The last rows are computed again where there are no more.
  let row${k} = min(group.y * ${ROWS}u + ${k}u, height + 1u);
  let isInside${k} = row${k} - 1u < height;
  // Coordinates of the border wrap or pass the end: any others will do.
  let down${k} = params.taps[width + min(row${k} - 1u, height - 1u)];
  let v${k} = bitcast<f32>(down${k}.y);
  let from${k} = plane + (down${k}.x + 1u) * inPitch;
  let to${k} = group.z * params.planeSize + row${k} * pitch;
  //@end
  for (var column = lane; column < pitch; column += ${LANES}u) {
    let isColumn = column - 1u < width;
    let across = params.taps[min(column - 1u, width - 1u)];
    let u = bitcast<f32>(across.y);
    let left = across.x + 1u;
    //@for k in 0..ROWS
    let at${k} = from${k} + left;
    let top${k} = (1f - u) * x_at(at${k}) + u * x_at(at${k} + 1u);
    let bottom${k} = (1f - u) * x_at(at${k} + inPitch) + u * x_at(at${k} + inPitch + 1u);
    let value${k} = (1f - v${k}) * top${k} + v${k} * bottom${k};
    y[to${k} + column] = ${IMAGE}(select(vec4f(), value${k}, isColumn && isInside${k}));
    //@end
  }
}
//@else
@compute @workgroup_size(${LANES}, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let width = params.width;
  let height = params.height;
  let pitch = params.pitch;
  let planeSize = params.planeSize;
  let inPitch = params.inPitch;
  let inPlaneSize = params.inPlaneSize;
  let chunks = params.chunks;
  if (id.y >= chunks) {
    return;
  }
  let firstRow = id.y * ${ROWS}u;
  let end = min(height, firstRow + ${ROWS}u);
  let column = id.z * planeSize + id.x;
  if (firstRow == 0u) {
    y[column] = ${IMAGE}(vec4f());
  }
  if (end == height) {
    y[column + (end + 1u) * pitch] = ${IMAGE}(vec4f());
  }
  var out = column + (firstRow + 1u) * pitch;
  // Column 0 is border; its coordinate wraps and is no column of the image either.
  if (id.x - 1u >= width) {
    for (var i = firstRow; i < end; i++) {
      y[out] = ${IMAGE}(vec4f());
      out += pitch;
    }
    return;
  }
  let across = params.taps[id.x - 1u];
  let u = bitcast<f32>(across.y);
  let left = id.z * inPlaneSize + inPitch + across.x + 1u;
  var held = 0xfffffff0u;
  var top = vec4f();
  var bottom = vec4f();
  for (var i = firstRow; i < end; i++) {
    let down = params.taps[width + i];
    let v = bitcast<f32>(down.y);
    if (down.x != held) {
      let at = left + down.x * inPitch;
      if (down.x == held + 1u) {
        top = bottom;
      } else {
        top = (1f - u) * x_at(at) + u * x_at(at + 1u);
      }
      bottom = (1f - u) * x_at(at + inPitch) + u * x_at(at + inPitch + 1u);
      held = down.x;
    }
    y[out] = ${IMAGE}((1f - v) * top + v * bottom);
    out += pitch;
  }
}
//@end
