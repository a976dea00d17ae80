// Transforms images for conv2d_winograd_multiply and conv2d_winograd_weight_grad.
//
// Formula: V = B^T d B for every block d of 6 x 6 pixels, blocks 4 pixels apart (Winograd's
//   F(4x4,3x3); Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016). The
//   polynomials behind it are taken at 0, +-POINT_A, +-POINT_B and infinity. Rows of B^T:
//   (a*a*b*b, 0, -a*a-b*b, 0, 1, 0), (0, -+a*b*b, -b*b, +-a, 1, 0), (0, -+a*a*b, -a*a, +-b, 1, 0),
//   (0, a*a*b*b, 0, -a*a-b*b, 0, 1)
// Layout
//   input        staged planes of 4 channels with a border of one zero pixel, stacked in columns
//   transformed  the image of a texture whose rows are the GROUP blocks that a workgroup multiplies:
//                texel block % GROUP of row ((block / GROUP)*36 + position)*inputPlanes + plane;
//                up to a multiple of 16 the last block stands for those behind it
// Bindings: 0 params, 1 input, 2 transformed
// Constants: GROUP, POINT_A, POINT_B
// Grid: x over blocks in workgroups of 16, y over planes of an image.

struct Params {
  planeRows: u32,
  pitch: u32,
  inputPlanes: u32,
  planesPerColumn: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var input: texture_storage_2d<${TEXEL}, read>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<f32>>;

const a = ${POINT_A};
const b = ${POINT_B};

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = min(id.x, params.blocks - 1u);
  let image = (params.firstBlock + block) / params.blocksPerImage;
  let blockOfImage = (params.firstBlock + block) % params.blocksPerImage;
  let plane = image * params.inputPlanes + id.y;
  let blockX = blockOfImage % params.blocksX * 4u;
  let blockY = blockOfImage / params.blocksX * 4u;
  // Blocks may stick out: there they read the border again, which is zero.
  let column = plane / params.planesPerColumn * params.pitch;
  let row = plane % params.planesPerColumn * params.planeRows;
  //@for i in 0..6
  let x${i} = column + min(blockX + ${i}u, params.pitch - 1u);
  let y${i} = row + min(blockY + ${i}u, params.planeRows - 1u);
  //@end
  //@for j in 0..6
  $each(i in 0..6){ let d${i}_${j} = textureLoad(input, vec2<u32>(x${j}, y${i})); }
  let e${j} = d4_${j} - b * b * d2_${j};
  let o${j} = a * (d3_${j} - b * b * d1_${j});
  let f${j} = d4_${j} - a * a * d2_${j};
  let g${j} = b * (d3_${j} - a * a * d1_${j});
  let r0_${j} = a * a * b * b * d0_${j} - (a * a + b * b) * d2_${j} + d4_${j};
  let r1_${j} = e${j} + o${j};
  let r2_${j} = e${j} - o${j};
  let r3_${j} = f${j} + g${j};
  let r4_${j} = f${j} - g${j};
  let r5_${j} = a * a * b * b * d1_${j} - (a * a + b * b) * d3_${j} + d5_${j};
  //@end
  let step = params.inputPlanes * ${GROUP}u;
  let first = id.x / ${GROUP}u * 36u * step + id.y * ${GROUP}u + id.x % ${GROUP}u;
  //@for i in 0..6
  {
    let e = r${i}_4 - b * b * r${i}_2;
    let o = a * (r${i}_3 - b * b * r${i}_1);
    let f = r${i}_4 - a * a * r${i}_2;
    let g = b * (r${i}_3 - a * a * r${i}_1);
    let at = first + ${6 * i}u * step;
    transformed[at] = a * a * b * b * r${i}_0 - (a * a + b * b) * r${i}_2 + r${i}_4;
    transformed[at + step] = e + o;
    transformed[at + 2u * step] = e - o;
    transformed[at + 3u * step] = f + g;
    transformed[at + 4u * step] = f - g;
    transformed[at + 5u * step] = a * a * b * b * r${i}_1 - (a * a + b * b) * r${i}_3 + r${i}_5;
  }
  //@end
}
