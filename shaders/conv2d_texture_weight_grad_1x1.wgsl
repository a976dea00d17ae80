// Weight gradient of a 1x1 convolution, stride 1.
//
// Formula: dw[o,i] = sum over n,y,x of dy[n,o,y,x] * x[n,i,y,x]
//   This dispatch leaves one partial sum a strip of rows;
//   conv2d_texture_weight_grad_reduce adds them.
//
// A lane keeps the sums of 4*OUT_PLANES output channels and 4 input channels in registers and walks
// its strip in tiles of TILE_H x TILE_W pixels. Lanes of a workgroup differ in channels before they
// differ in strips: the same pixels serve all of them from the cache, and no lane adds to another's.
//
// Layout
//   input, gradient  staged planes of 4 channels, in columns: those of some images, or some rows of an
//                    image between their neighbours; left and right of them lies a border of zero pixels
//   partials         [strip][output block][input plane][output plane of block][input lane],
//                    four output channels a vec4
// Bindings: 0 params, 1 input, 2 gradient, 3 partials
// Constants: OUT_PLANES, TILE_H, TILE_W
// Grid: x = input plane groups fastest, then output block groups; y = strip groups.

struct Params {
  rows: u32,
  width: u32,
  pitch: u32,
  images: u32,
  inputPlanes: u32,
  inputPlanesPerColumn: u32,
  gradientPlanes: u32,
  gradientPlanesPerColumn: u32,
  blocks: u32,
  lanesIn: u32,
  lanesOut: u32,
  inputGroups: u32,
  rowsPerStrip: u32,
  stripsPerImage: u32,
  imagesPerStrip: u32,
  strips: u32,
  firstStrip: u32,
  iterations: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var input: texture_storage_2d<${TEXEL}, read>;
@group(0) @binding(2) var gradient: texture_storage_2d<${TEXEL}, read>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

fn origin(params: Params, plane: u32, planesPerColumn: u32) -> vec2<u32> {
  return vec2<u32>(plane / planesPerColumn * params.pitch, plane % planesPerColumn * (params.rows + 2u));
}

@compute @workgroup_size(16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let lanesIn = params.lanesIn;
  let lanesOut = params.lanesOut;
  let wantedPlane = group.x % params.inputGroups * lanesIn + lane % lanesIn;
  let wantedBlock = group.x / params.inputGroups * lanesOut + lane / lanesIn % lanesOut;
  let wantedStrip = group.y * (16u / (lanesIn * lanesOut)) + lane / (lanesIn * lanesOut);
  let valid = wantedPlane < params.inputPlanes && wantedBlock < params.blocks &&
    wantedStrip < params.strips;
  let plane = min(wantedPlane, params.inputPlanes - 1u);
  let block = min(wantedBlock, params.blocks - 1u);
  let strip = min(wantedStrip, params.strips - 1u);
  let width = params.width;
  let firstRow = strip % params.stripsPerImage * params.rowsPerStrip;
  let endRow = min(firstRow + params.rowsPerStrip, params.rows);
  let firstImage = strip / params.stripsPerImage * params.imagesPerStrip;
  let endImage = min(firstImage + params.imagesPerStrip, params.images);
  let iterations = params.iterations;
  let lastColumn = params.pitch - 1u;
  let lastRow = params.rows + 1u;

  // sum${output plane}_${input lane}, four output channels a vec4
  //@for q in 0..OUT_PLANES
  $each(c in 0..4){ var sum${q}_${c} = vec4<f32>(); }
  //@end
  for (var image = firstImage; image < endImage; image++) {
    let start = origin(params, image * params.inputPlanes + plane, params.inputPlanesPerColumn);
    //@for q in 0..OUT_PLANES
    let grad${q} = origin(
      params,
      image * params.gradientPlanes +
        min(block * ${OUT_PLANES}u + ${q}u, params.gradientPlanes - 1u),
      params.gradientPlanesPerColumn,
    );
    //@end
    var x = 0u;
    var y = firstRow;
    for (var tile = 0u; tile < iterations; tile++) {
      // Tiles may pass the end of a row or a plane, which is zero. What lies behind in the texture is
      // another plane or the leftovers of another tensor: those reads stop at the end.
      $each(p in 0..TILE_W){ let column${p} = min(x + ${p + 1}u, lastColumn); }
      //@for r in 0..TILE_H
      let inputRow${r} = min(y + ${r + 1}u, lastRow);
      $each(p in 0..TILE_W){ let v${r}_${p} = textureLoad(input, start + vec2<u32>(column${p}, inputRow${r})); }
      // Rows past the strip read the end of the gradient's pitch, which is zero.
      let row${r} = min(y + ${r + 1}u, lastRow);
      let inside${r} = y + ${r}u < endRow;
      $each(p in 0..TILE_W){ let place${r}_${p} = vec2<u32>(select(lastColumn, column${p}, inside${r}), row${r}); }
      //@for q in 0..OUT_PLANES
      $each(p in 0..TILE_W){ let g${q}_${r}_${p} = textureLoad(gradient, grad${q} + place${r}_${p}); }
      $each(p in 0..TILE_W, c in 0..4){ sum${q}_${c} += v${r}_${p}.${lane(c)} * g${q}_${r}_${p}; }
      //@end
      //@end
      x += ${TILE_W}u;
      let wrap = x >= width;
      y = select(y, y + ${TILE_H}u, wrap);
      x = select(x, 0u, wrap);
    }
  }

  if (valid) {
    let at = (((params.firstStrip + strip) * params.blocks + block) * params.inputPlanes + plane) * ${OUT_PLANES * 4}u;
    //@for q in 0..OUT_PLANES
    $each(c in 0..4){ partials[at + ${q * 4 + c}u] = sum${q}_${c}; }
    //@end
  }
}
