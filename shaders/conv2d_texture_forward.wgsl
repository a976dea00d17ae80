// 2-D convolution, stride 1, output as large as the input.
//
// Formula: y[n,o,y,x] = bias[o] +
//     sum over i,dy,dx of x[n,i,y+dy-S/2,x+dx-S/2] * w[o,i,dy,dx],  S = KERNEL
//   The input gradient is the same sum over the output gradient with flipped, transposed weights.
//   EPILOGUE affine: y = sum * scale[o] + offset[o], then max(y, 0) with RELU
//
// Made for adapters that run shaders on the processor, where a read of a storage texture costs a
// fifth of a read of a buffer: an invocation keeps 4*OUT_PLANES channels of TILE_H x TILE_W pixels
// in registers and loops over the input's planes of four channels.
//
// Layout
//   input    staged planes of 4 channels, stacked in columns: those of some images, or some rows of
//            an image between their neighbours; left and right of them lies a border of zero pixels
//   weights  texel ((tap*4 + input lane)*OUT_PLANES + output plane) of row block*inputPlanes + plane,
//            four output channels a texel, blocks of 4*OUT_PLANES channels stacked in columns
//   output   c4 planes; only pixels of the image are written
// Bindings: 0 params, 1 input, 2 weights, 3 output, 4 bias [O] or affine as batch_norm2d_fold
//   leaves it
// Constants: KERNEL 1 or 3, OUT_PLANES, TILE_H, TILE_W; IN_LANES: most channels of a plane of input;
//   EPILOGUE none | bias | affine; RELU 0 | 1
// Grid: x = block groups fastest, then tile groups; y = further tile groups. A workgroup's 16 lanes
//   are lanePixels neighbouring tiles x (16 / lanePixels) neighbouring output blocks.

struct Params {
  width: u32,
  rows: u32,
  pitch: u32,
  firstImage: u32,
  firstRow: u32,
  imageRows: u32,
  inputPlanes: u32,
  planesPerColumn: u32,
  outputPlanes: u32,
  outputChannels: u32,
  blocks: u32,
  blockGroups: u32,
  lanePixels: u32,
  tilesX: u32,
  tilesPerImage: u32,
  tiles: u32,
  groupsPerRow: u32,
  weightPitch: u32,
  blocksPerWeightColumn: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var input: texture_storage_2d<${TEXEL}, read>;
@group(0) @binding(2) var weights: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> output: array<${IMAGE}>;
//@if EPILOGUE == 'bias'
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn biasOf(channel: u32, channels: u32) -> f32 {
  return select(0.0, bias[min(channel, channels - 1u)], channel < channels);
}
//@end
//@if EPILOGUE == 'affine'
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>;
//@end

@compute @workgroup_size(16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let lanePixels = params.lanePixels;
  let blockGroup = group.x % params.blockGroups;
  let tileGroup = group.y * params.groupsPerRow + group.x / params.blockGroups;
  let wantedBlock = blockGroup * (16u / lanePixels) + lane / lanePixels;
  let wantedTile = tileGroup * lanePixels + lane % lanePixels;
  let valid = wantedBlock < params.blocks && wantedTile < params.tiles;
  let block = min(wantedBlock, params.blocks - 1u);
  let tile = min(wantedTile, params.tiles - 1u);
  let image = tile / params.tilesPerImage;
  let tileOfImage = tile % params.tilesPerImage;
  let x0 = (tileOfImage % params.tilesX) * ${TILE_W}u;
  let y0 = (tileOfImage / params.tilesX) * ${TILE_H}u;

  let planeRows = params.rows + 2u;
  let pitch = params.pitch;
  let inputPlanes = params.inputPlanes;
  let planesPerColumn = params.planesPerColumn;
  let firstPlane = image * inputPlanes;
  let weightX = block / params.blocksPerWeightColumn * params.weightPitch;
  var weightRow = block % params.blocksPerWeightColumn * inputPlanes;

  //@for k in 0..OUT_PLANES
  //@for y in 0..TILE_H
  $each(x in 0..TILE_W){ var sum${k}_${y}_${x} = vec4<f32>(); }
  //@end
  //@end
  // Planes are stacked in columns. The outer loop takes a column at a time, so that the inner one,
  // where all the time goes, moves in y only.
  var plane = firstPlane;
  let endPlane = firstPlane + inputPlanes;
  while (plane < endPlane) {
    let planeInColumn = plane % planesPerColumn;
    let count = min(planesPerColumn - planeInColumn, endPlane - plane);
    // The border is one texel wide whatever the kernel, so a 1x1 kernel starts inside it.
    let column = plane / planesPerColumn * pitch + x0 + ${1 - KERNEL / 2}u;
    var row = planeInColumn * planeRows + y0 + ${1 - KERNEL / 2}u;
    //@for x in 0..TILE_W + KERNEL - 1
    let x${x} = column + ${x}u;
    //@end
    for (var i = 0u; i < count; i++) {
      //@for y in 0..TILE_H + KERNEL - 1
      let y${y} = row + ${y}u;
      $each(x in 0..TILE_W + KERNEL - 1){ let v${y}_${x} = textureLoad(input, vec2<u32>(x${x}, y${y})); }
      //@end
      //@for k in 0..OUT_PLANES
      //@for t in 0..KERNEL * KERNEL
      //@let at = t * 4 * OUT_PLANES + k
      $each(c in 0..IN_LANES){ let w${k}_${t}_${c} = textureLoad(weights, vec2<u32>(weightX + ${at + c * OUT_PLANES}u, weightRow)); }
      //@end
      // Neighbouring sums are interleaved so that each add has the others' time to complete.
      //@for y in 0..TILE_H
      //@for t in 0..KERNEL * KERNEL
      //@let dy = t / KERNEL
      //@let dx = t % KERNEL
      $each(c in 0..IN_LANES, x in 0..TILE_W){ sum${k}_${y}_${x} += v${y + dy}_${x + dx}.${lane(c)} * w${k}_${t}_${c}; }
      //@end
      //@end
      //@end
      weightRow += 1u;
      row += planeRows;
    }
    plane += count;
  }

  let endX = select(0u, params.width, valid);
  let endY = params.rows;
  //@for k in 0..OUT_PLANES
  {
    let plane = block * ${OUT_PLANES}u + ${k}u;
    //@if EPILOGUE == 'bias'
    let offset = vec4<f32>($list(c in 0..4){ biasOf(plane * 4u + ${c}u, params.outputChannels) });
    //@end
    //@if EPILOGUE == 'affine'
    let entry = min(plane, params.outputPlanes - 1u) * 2u;
    let scale = affine[entry];
    let offset = affine[entry + 1u];
    //@end
    //@let head = RELU ? 'max(' : ''
    //@let relu = RELU ? ', vec4<f32>())' : ''
    //@let tail = EPILOGUE == 'none' ? '' : EPILOGUE == 'bias' ? ' + offset' : ' * scale + offset'
    if (plane < params.outputPlanes) {
      let outputRow = ((params.firstImage + image) * params.outputPlanes + plane) * params.imageRows + params.firstRow;
      let at = (outputRow + y0 + 1u) * pitch + x0 + 1u;
      //@for y in 0..TILE_H
      if (y0 + ${y}u < endY) {
        //@for x in 0..TILE_W
        if (x0 + ${x}u < endX) {
          output[at + ${y}u * pitch + ${x}u] = ${IMAGE}(${head}sum${k}_${y}_${x}${tail}${relu});
        }
        //@end
      }
      //@end
    }
  }
  //@end
}
