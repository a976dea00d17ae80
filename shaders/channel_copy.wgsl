// Copies ranges of channels: concatenation along channels (several inputs) and channel slices (one).
//
// Formula   y[n,c] = x_s[n, c + shift_s] for the segment s with begin_s <= c < end_s, else 0
// Layout    c4; the zero padding of the inputs is copied along
// Bindings  0 params, 1 .. SEGMENTS inputs, last y
// Constants SEGMENTS: number of inputs, 1 to 4
// Grid      x over the vec4s of a plane, y over output planes of an image, z over images

struct Segment {
  begin: u32,
  end: u32,
  shift: i32,
  planes: u32, // of one image of the input
}

struct Params {
  planeSize: u32,
  planes: u32, // of one image of y
  segments: array<Segment, ${SEGMENTS}>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..SEGMENTS
//@input(s + 1) x${s}: IMAGE
//@end
@group(0) @binding(${SEGMENTS + 1}) var<storage, read_write> y: array<${IMAGE}>;

fn valueOf(params: Params, image: u32, channel: u32, cell: u32) -> f32 {
  //@for s in 0..SEGMENTS
  {
    let segment = params.segments[${s}];
    if (channel >= segment.begin && channel < segment.end) {
      let source = u32(i32(channel) + segment.shift);
      let plane = image * segment.planes + source / 4u;
      return x${s}_at(plane * params.planeSize + cell)[source % 4u];
    }
  }
  //@end
  return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.planeSize) {
    return;
  }
  let channel = id.y * 4u;
  y[(id.z * params.planes + id.y) * params.planeSize + id.x] = ${IMAGE}(vec4f(
    $list(c in 0..4){ valueOf(params, id.z, channel + ${c}u, id.x) },
  ));
}
