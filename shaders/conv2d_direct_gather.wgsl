// 2-D convolution of any stride, padding and dilation, and its adjoint (input gradient, transposed
// convolution), from storage buffers where nothing else is at hand.
//
// Formula   y[n,o,Y,X] = bias[o] + sum over i and the taps (offsetY, offsetX, tap) of the phase of
//             x[n, i, stepY*inputStrideY + offsetY, stepX*inputStrideX + offsetX] * w[o,i,tap]
//           where X = stepX*outputStrideX + phaseX and positions count from the border, so that the
//           image starts at 1. A convolution has one phase and inputStride = stride; its adjoint
//           has outputStride = stride, and in each phase the taps that meet an input pixel.
//           Positions outside the input are moved to its border, which is zero.
//           EPILOGUE affine: y = sum * scale[o] + offset[o], then max(y, 0) with RELU
// Layout    inputs and output c4; packed as conv2d_direct_pack_weights leaves it
// Bindings  0 params, 1 .. SEGMENTS concatenated inputs, then packed, output and the epilogue's:
//           bias [O] or affine as batch_norm2d_fold leaves it
// Constants SEGMENTS 1 to 4; OUT_PLANES output planes and TILE_ROWS output rows an invocation
//           computes; EPILOGUE none | bias | affine; RELU 0 | 1
// Grid      x output blocks (fastest, so that neighbours read the same pixels) times phases, y over
//           the tiles of TILE_ROWS rows of a column in workgroups of 64, columns fastest, z images.
//           It covers border and pitch padding, which are written as zero.

struct Params {
  width: u32,
  height: u32,
  rows: u32,
  pitch: u32,
  outputChannels: u32,
  outputPlanes: u32, // of an image
  blocks: u32,       // of OUT_PLANES output planes
  inputRows: u32,    // border included
  inputEnd: u32,     // column of the right border
  inputPitch: u32,
  inputPlanes: u32,  // of an image, all inputs
  taps: u32,
  inputStrideX: i32,
  inputStrideY: i32,
  outputStrideX: u32,
  outputStrideY: u32,
  stepsX: u32,       // columns of a phase
  tiles: u32,        // of a phase
  planes: array<u32, 4>, // of an image of each input
  // Entry of `table` where each phase starts and the last one ends, then (offsetY, offsetX, tap).
  table: array<i32>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..SEGMENTS
//@input(s + 1) x${s}: IMAGE
//@end
//@input(SEGMENTS + 1) weights: 'vec4f'
@group(0) @binding(${SEGMENTS + 2}) var<storage, read_write> y: array<${IMAGE}>;
//@if EPILOGUE != 'none'
//@input(SEGMENTS + 3) epilogue: 'vec4f'
//@end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = group.y * 64u + lane;
  if (tile >= params.tiles) {
    return;
  }
  let block = group.x % params.blocks;
  let phase = group.x / params.blocks;
  let phaseX = phase % params.outputStrideX;
  let phaseY = phase / params.outputStrideX;
  let stepX = tile % params.stepsX;
  let stepY = tile / params.stepsX * ${TILE_ROWS}u;
  let image = group.z;
  let outputColumn = stepX * params.outputStrideX + phaseX;
  let columnInside = outputColumn >= 1u && outputColumn <= params.width;

  let inputPitch = params.inputPitch;
  let planeSize = params.inputRows * inputPitch;
  let inputPlanes = params.inputPlanes;
  let startX = i32(stepX) * params.inputStrideX;
  let lastX = i32(params.inputEnd);
  let lastY = i32(params.inputRows) - 1;
  let firstEntry = params.table[phase];
  let end = select(firstEntry, params.table[phase + 1u], columnInside);

  //@for r in 0..TILE_ROWS
  let startY${r} = i32(stepY + ${r}u) * params.inputStrideY;
  $each(k in 0..OUT_PLANES){ var sum${r}_${k} = vec4f(); }
  //@end
  for (var entry = firstEntry; entry < end; entry += 3) {
    let offsetY = params.table[entry];
    let column = u32(clamp(startX + params.table[entry + 1], 0, lastX));
    let tap = block * params.taps + u32(params.table[entry + 2]);
    var weight = tap * inputPlanes * ${4 * OUT_PLANES}u;
    //@for r in 0..TILE_ROWS
    let cell${r} = u32(clamp(startY${r} + offsetY, 0, lastY)) * inputPitch + column;
    //@end
    //@for s in 0..SEGMENTS
    {
      let planes = params.planes[${s}];
      var start = image * planes * planeSize;
      for (var plane = 0u; plane < planes; plane++) {
        //@for c in 0..4
        $each(k in 0..OUT_PLANES){ let w${c}_${k} = weights_at(weight + ${c * OUT_PLANES + k}u); }
        //@end
        //@for r in 0..TILE_ROWS
        let v${r} = x${s}_at(start + cell${r});
        $each(k in 0..OUT_PLANES){ sum${r}_${k} += $sum(c in 0..4){ v${r}.${lane(c)} * w${c}_${k} }; }
        //@end
        weight += ${4 * OUT_PLANES}u;
        start += planeSize;
      }
    }
    //@end
  }

  if (outputColumn >= params.pitch) {
    return;
  }
  //@for k in 0..OUT_PLANES
  {
    let plane = block * ${OUT_PLANES}u + ${k}u;
    //@if EPILOGUE == 'bias'
    // What follows the last channel in memory may be anything.
    let channel = plane * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.outputChannels);
    let offset = select(vec4f(), epilogue_at(min(plane, params.outputPlanes - 1u)), channel);
    //@end
    //@if EPILOGUE == 'affine'
    let entry = min(plane, params.outputPlanes - 1u) * 2u;
    let scale = epilogue_at(entry);
    let offset = epilogue_at(entry + 1u);
    //@end
    //@let head = RELU ? 'max(' : ''
    //@let relu = RELU ? ', vec4f())' : ''
    //@let tail = EPILOGUE == 'none' ? '' : EPILOGUE == 'bias' ? ' + offset' : ' * scale + offset'
    if (plane < params.outputPlanes) {
      let start = (image * params.outputPlanes + plane) * params.rows;
      //@for r in 0..TILE_ROWS
      {
        let row = (stepY + ${r}u) * params.outputStrideY + phaseY;
        if (row < params.rows) {
          let inside = columnInside && row >= 1u && row <= params.height;
          y[(start + row) * params.pitch + outputColumn] =
            ${IMAGE}(select(vec4f(), ${head}sum${r}_${k}${tail}${relu}, inside));
        }
      }
      //@end
    }
  }
  //@end
}
