// Transforms blocks of an input for conv2d_winograd_weight_grad.
//
// Formula: Z = A x A^T for every block x of 4 x 4 pixels, A being that of Winograd's F(4x4,3x3), see
//   conv2d_winograd_output.wgsl: polynomials with the pixels as coefficients at 0, +-POINT_A,
//   +-POINT_B and infinity, along both axes
// Layout
//   input   c4 planes of an input; border and padding are zero
//   blocks  the image of a texture, as conv2d_winograd_input leaves it, with the planes of all
//           inputs; blocks behind the last, up to a multiple of 16, become zero
// Bindings: 0 params, 1 input, 2 blocks
// Constants: GROUP, POINT_A, POINT_B
// Grid: x over blocks in workgroups of 16, y over planes of an image of the input.

struct Params {
  planeRows: u32,
  pitch: u32,
  planes: u32,
  firstPlane: u32,
  allPlanes: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<${IMAGE}>;
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<f32>>;

const a = ${POINT_A};
const b = ${POINT_B};

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = params.firstBlock + min(id.x, params.blocks - 1u);
  let image = block / params.blocksPerImage;
  let blockOfImage = block % params.blocksPerImage;
  let column = blockOfImage % params.blocksX * 4u + 1u;
  let row = blockOfImage / params.blocksX * 4u + 1u;
  let plane = (image * params.planes + id.y) * params.planeRows;
  // Column 0 is zero, and so is what sticks out: it reads the border again.
  let used = id.x < params.blocks;
  $each(j in 0..4){ let x${j} = select(0u, min(column + ${j}u, params.pitch - 1u), used); }
  $each(i in 0..4){ let y${i} = (plane + min(row + ${i}u, params.planeRows - 1u)) * params.pitch; }
  //@for j in 0..4
  $each(i in 0..4){ let d${i}_${j} = vec4<f32>(input[y${i} + x${j}]); }
  let evenA${j} = d0_${j} + a * a * d2_${j};
  let oddA${j} = a * (d1_${j} + a * a * d3_${j});
  let evenB${j} = d0_${j} + b * b * d2_${j};
  let oddB${j} = b * (d1_${j} + b * b * d3_${j});
  let r0_${j} = d0_${j};
  let r1_${j} = evenA${j} + oddA${j};
  let r2_${j} = evenA${j} - oddA${j};
  let r3_${j} = evenB${j} + oddB${j};
  let r4_${j} = evenB${j} - oddB${j};
  let r5_${j} = d3_${j};
  //@end
  let step = params.allPlanes * ${GROUP}u;
  let first = id.x / ${GROUP}u * 36u * step + (params.firstPlane + id.y) * ${GROUP}u + id.x % ${GROUP}u;
  //@for i in 0..6
  {
    let evenA = r${i}_0 + a * a * r${i}_2;
    let oddA = a * (r${i}_1 + a * a * r${i}_3);
    let evenB = r${i}_0 + b * b * r${i}_2;
    let oddB = b * (r${i}_1 + b * b * r${i}_3);
    let at = first + ${6 * i}u * step;
    blocks[at] = r${i}_0;
    blocks[at + step] = evenA + oddA;
    blocks[at + 2u * step] = evenA - oddA;
    blocks[at + 3u * step] = evenB + oddB;
    blocks[at + 4u * step] = evenB - oddB;
    blocks[at + 5u * step] = r${i}_3;
  }
  //@end
}
