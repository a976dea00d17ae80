// Weight gradient of a 2-D convolution with respect to the weights of one of its inputs: a matrix
// product over pixels in workgroup memory, split into strips of pixels.
//
// Formula   dw[o,i,u,v] = sum over n,y,x of dy[n,o,y,x] * x[n,i,Y,X], where Y = y*strideY + offsetY
//           and X = x*strideX + offsetX of tap (u,v), counted from the border. This dispatch leaves
//           SLICES partial sums a strip; conv2d_gemm_weight_grad_reduce adds them.
//
// A workgroup computes OUT_GROUPS * OUT_PLANES planes of output by IN_GROUPS * IN_PLANES planes of
// input channels for a group of TAPS_Y x TAPS_X taps with neighbouring offsets; a thread OUT_PLANES
// by IN_PLANES planes for the taps of one row. Each step brings TILE_H x TILE_W pixels of both into
// workgroup memory; the loads for the next step are under way while this one is computed. Of its
// rows each of SLICES threads sums some. Planes have odd pitches there, which puts those that the
// threads of a warp read into different banks; arrays are nested so that few indices are no
// constants, because compilers of WGSL check those against the bounds. Positions outside an image
// are moved to its border, which is zero.
//
// Layout    input, gradient  c4
//           partials  [strip][slice][tap group][input plane][tap][input lane][output plane], four
//                     output channels a vec4
// Bindings  0 params, 1 input, 2 gradient, 3 partials
// Constants TAPS_Y, TAPS_X (more than one only where the stride is 1); OUT_GROUPS, OUT_PLANES,
//           IN_GROUPS, IN_PLANES; SLICES; TILE_H (a multiple of SLICES); TILE_W (a multiple of
//           PIXELS); PIXELS read at once
// Grid      x output blocks (fastest) times input blocks, y strips, z tap groups

//@let threads = OUT_GROUPS * IN_GROUPS * TAPS_Y * SLICES
//@let outBlock = OUT_GROUPS * OUT_PLANES
//@let inBlock = IN_GROUPS * IN_PLANES
//@let windowH = TILE_H + TAPS_Y - 1
//@let windowW = TILE_W + TAPS_X - 1
//@let gradientCells = outBlock * TILE_H * TILE_W
//@let inputCells = inBlock * windowH * windowW
//@let gradientLoads = (gradientCells + threads - 1) / threads
//@let inputLoads = (inputCells + threads - 1) / threads
//@let sliceRows = TILE_H / SLICES

struct Params {
  planes: u32, // of an image of this input
  gradientPlanes: u32,
  outBlocks: u32,
  gradientRows: u32, // border included
  gradientEnd: u32,  // column of the right border
  gradientPitch: u32,
  inputRows: u32,
  inputEnd: u32,
  inputPitch: u32,
  strideX: u32,
  strideY: u32,
  tilesX: u32,
  tilesOfImage: u32,
  tilesOfStrip: u32,
  tiles: u32, // of all images
  firstVector: u32, // of this input's partial sums
  sumVectors: u32,  // of one of them
  offsets: array<i32>, // (offsetY, offsetX) of each tap group
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<${IMAGE}>;
@group(0) @binding(2) var<storage, read> gradient: array<${IMAGE}>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4f>;

struct GradientPlane {
  rows: array<array<vec4f, ${TILE_W}>, ${TILE_H}>,
  //@if TILE_H * TILE_W % 2 == 0
  oddPitch: vec4f,
  //@end
}

struct InputPlane {
  rows: array<array<vec4f, ${windowW}>, ${windowH}>,
  //@if windowH * windowW % 2 == 0
  oddPitch: vec4f,
  //@end
}

// Groups innermost: threads side by side differ in them.
var<workgroup> gradients: array<array<GradientPlane, ${OUT_GROUPS}>, ${OUT_PLANES}>;
var<workgroup> inputs: array<array<InputPlane, ${IN_GROUPS}>, ${IN_PLANES}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let firstOut = group.x % params.outBlocks * ${outBlock}u;
  let firstIn = group.x / params.outBlocks * ${inBlock}u;
  let firstTile = group.y * params.tilesOfStrip;
  let endTile = min(firstTile + params.tilesOfStrip, params.tiles);
  let offsetY = params.offsets[group.z * 2u];
  let offsetX = params.offsets[group.z * 2u + 1u];

  let outGroup = thread % ${OUT_GROUPS}u;
  let inGroup = thread / ${OUT_GROUPS}u % ${IN_GROUPS}u;
  let tapRow = thread / ${OUT_GROUPS * IN_GROUPS}u % ${TAPS_Y}u;
  let slice = thread / ${OUT_GROUPS * IN_GROUPS * TAPS_Y}u;

  //@for t in 0..TAPS_X
  //@for i in 0..IN_PLANES
  $each(c in 0..4, k in 0..OUT_PLANES){ var sum${t}_${i}_${c}_${k} = vec4f(); }
  //@end
  //@end
  for (var tile = firstTile; tile <= endTile; tile++) {
    $each(i in 0..gradientLoads){ var nextGradient${i} = vec4f(); }
    $each(i in 0..inputLoads){ var nextInput${i} = vec4f(); }
    if (tile < endTile) {
      let image = tile / params.tilesOfImage;
      let tileX = tile % params.tilesOfImage % params.tilesX * ${TILE_W}u;
      let tileY = tile % params.tilesOfImage / params.tilesX * ${TILE_H}u;
      //@for i in 0..gradientLoads
      {
        let cell = thread + ${i * threads}u;
        let plane = min(firstOut + cell / ${TILE_H * TILE_W}u, params.gradientPlanes - 1u);
        let row = min(tileY + cell / ${TILE_W}u % ${TILE_H}u + 1u, params.gradientRows - 1u);
        let column = min(tileX + cell % ${TILE_W}u + 1u, params.gradientEnd);
        nextGradient${i} = vec4f(gradient[((image * params.gradientPlanes + plane) * params.gradientRows +
          row) * params.gradientPitch + column]);
      }
      //@end
      let originY = i32(tileY * params.strideY) + offsetY;
      let originX = i32(tileX * params.strideX) + offsetX;
      //@for i in 0..inputLoads
      {
        let cell = thread + ${i * threads}u;
        let plane = min(firstIn + cell / ${windowH * windowW}u, params.planes - 1u);
        let row = originY + i32(cell / ${windowW}u % ${windowH}u * params.strideY);
        let column = originX + i32(cell % ${windowW}u * params.strideX);
        nextInput${i} = vec4f(input[((image * params.planes + plane) * params.inputRows +
          u32(clamp(row, 0, i32(params.inputRows) - 1))) * params.inputPitch +
          u32(clamp(column, 0, i32(params.inputEnd)))]);
      }
      //@end
    }

    if (tile > firstTile) {
      for (var row = slice * ${sliceRows}u; row < (slice + 1u) * ${sliceRows}u; row++) {
        //@for x in 0..TILE_W / PIXELS
        {
          //@for i in 0..IN_PLANES
          $each(j in 0..PIXELS + TAPS_X - 1){ let v${j}_${i} = inputs[${i}][inGroup].rows[row + tapRow][${x * PIXELS + j}]; }
          //@end
          //@for p in 0..PIXELS
          $each(k in 0..OUT_PLANES){ let g${p}_${k} = gradients[${k}][outGroup].rows[row][${x * PIXELS + p}]; }
          //@for t in 0..TAPS_X
          //@for i in 0..IN_PLANES
          $each(c in 0..4, k in 0..OUT_PLANES){ sum${t}_${i}_${c}_${k} += v${p + t}_${i}.${lane(c)} * g${p}_${k}; }
          //@end
          //@end
          //@end
        }
        //@end
      }
    }

    workgroupBarrier();
    //@for i in 0..gradientLoads
    {
      let cell = thread + ${i * threads}u;
      if (cell < ${gradientCells}u) {
        let plane = cell / ${TILE_H * TILE_W}u;
        gradients[plane % ${OUT_PLANES}u][plane / ${OUT_PLANES}u].rows[
          cell / ${TILE_W}u % ${TILE_H}u][cell % ${TILE_W}u] = nextGradient${i};
      }
    }
    //@end
    //@for i in 0..inputLoads
    {
      let cell = thread + ${i * threads}u;
      if (cell < ${inputCells}u) {
        let plane = cell / ${windowH * windowW}u;
        inputs[plane % ${IN_PLANES}u][plane / ${IN_PLANES}u].rows[
          cell / ${windowW}u % ${windowH}u][cell % ${windowW}u] = nextInput${i};
      }
    }
    //@end
    workgroupBarrier();
  }

  let sum = params.firstVector + (group.y * ${SLICES}u + slice) * params.sumVectors;
  //@for i in 0..IN_PLANES
  {
    let plane = firstIn + inGroup * ${IN_PLANES}u + ${i}u;
    let task = (group.z * params.planes + plane) * ${TAPS_Y}u + tapRow;
    //@for k in 0..OUT_PLANES
    {
      let gradientPlane = firstOut + outGroup * ${OUT_PLANES}u + ${k}u;
      if (plane < params.planes && gradientPlane < params.gradientPlanes) {
        let at = sum + task * ${TAPS_X * 4}u * params.gradientPlanes + gradientPlane;
        $each(t in 0..TAPS_X, c in 0..4){ partials[at + ${t * 4 + c}u * params.gradientPlanes] = sum${t}_${i}_${c}_${k}; }
      }
    }
    //@end
  }
  //@end
}
