// Weight gradient of a 3x3 convolution, stride 1, padding 1.
//
// Formula: dw[o,i,dy,dx] = sum over n,y,x of dy[n,o,y,x] * x[n,i,y+dy-1,x+dx-1]
//   as the gradient of Winograd's minimal filtering F(2x2,3x3) (Lavin and Gray, arXiv:1509.09308):
//   over tiles of 2 x 2 pixels with their 4 x 4 windows d of the input and 2 x 2 gradients e,
//   dw = G' (sum over tiles of (B d B') * (A e A')) G, * elementwise: 16 products instead of 36.
//   Along one axis  B d: d0-d2, d1+d2, d2-d1, d3-d1   A e: e0, e0+e1, e0-e1, e1
//                   G' u: u0 + (u1+u2)/2, (u1-u2)/2, (u1+u2)/2 + u3
//   This dispatch leaves one partial sum a strip of rows;
//   conv2d_texture_weight_grad_reduce adds them.
//
// A lane keeps the 16 sums of 4*OUT_PLANES output channels and 4 input channels in registers and
// walks its strip in blocks of TILE_H x TILE_W pixels. Lanes of a workgroup differ in channels
// before they differ in strips: the same pixels serve all of them from the cache, and no lane adds
// to another's.
//
// Layout
//   input, gradient  staged planes of 4 channels, in columns: those of some images, or some rows of an
//                    image between their neighbours; left and right of them lies a border of zero pixels
//   partials         [strip][output block][input plane][output plane of block][input lane][tap],
//                    four output channels a vec4
// Bindings: 0 params, 1 input, 2 gradient, 3 partials
// Constants: OUT_PLANES, TILE_H, TILE_W (both even)
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

  // sum${output channel}_${row of u}${column of u}, four input channels a vec4
  //@for k in 0..4 * OUT_PLANES
  $each(u in 0..16){ var sum${k}_${u} = vec4<f32>(); }
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
      // Blocks may pass the end of a row or a plane, which is zero. What lies behind in the texture
      // is another plane or the leftovers of another tensor: those reads stop at the end.
      $each(p in 0..TILE_W + 2){ let column${p} = min(x + ${p}u, lastColumn); }
      // b${row}_${tile column}_${j}: B d along x
      //@for r in 0..TILE_H + 2
      let inputRow${r} = min(y + ${r}u, lastRow);
      $each(p in 0..TILE_W + 2){ let v${r}_${p} = textureLoad(input, start + vec2<u32>(column${p}, inputRow${r})); }
      //@for t in 0..TILE_W / 2
      let b${r}_${t}_0 = v${r}_${2 * t} - v${r}_${2 * t + 2};
      let b${r}_${t}_1 = v${r}_${2 * t + 1} + v${r}_${2 * t + 2};
      let b${r}_${t}_2 = v${r}_${2 * t + 2} - v${r}_${2 * t + 1};
      let b${r}_${t}_3 = v${r}_${2 * t + 3} - v${r}_${2 * t + 1};
      //@end
      //@end
      // a${output plane}_${row}_${tile column}_${j}: A e along x
      //@for r in 0..TILE_H
      // Rows past the strip read the end of the gradient's pitch, which is zero.
      let row${r} = min(y + ${r + 1}u, lastRow);
      let inside${r} = y + ${r}u < endRow;
      $each(p in 0..TILE_W){ let place${r}_${p} = vec2<u32>(select(lastColumn, column${p + 1}, inside${r}), row${r}); }
      //@for q in 0..OUT_PLANES
      //@for t in 0..TILE_W / 2
      let a${q}_${r}_${t}_0 = textureLoad(gradient, grad${q} + place${r}_${2 * t});
      let a${q}_${r}_${t}_3 = textureLoad(gradient, grad${q} + place${r}_${2 * t + 1});
      let a${q}_${r}_${t}_1 = a${q}_${r}_${t}_0 + a${q}_${r}_${t}_3;
      let a${q}_${r}_${t}_2 = a${q}_${r}_${t}_0 - a${q}_${r}_${t}_3;
      //@end
      //@end
      //@end
      //@for j in 0..4
      //@for s in 0..TILE_H / 2
      //@for t in 0..TILE_W / 2
      let d0_${s}_${t}_${j} = b${2 * s}_${t}_${j} - b${2 * s + 2}_${t}_${j};
      let d1_${s}_${t}_${j} = b${2 * s + 1}_${t}_${j} + b${2 * s + 2}_${t}_${j};
      let d2_${s}_${t}_${j} = b${2 * s + 2}_${t}_${j} - b${2 * s + 1}_${t}_${j};
      let d3_${s}_${t}_${j} = b${2 * s + 3}_${t}_${j} - b${2 * s + 1}_${t}_${j};
      //@for q in 0..OUT_PLANES
      let e0_${q}_${s}_${t}_${j} = a${q}_${2 * s}_${t}_${j};
      let e3_${q}_${s}_${t}_${j} = a${q}_${2 * s + 1}_${t}_${j};
      let e1_${q}_${s}_${t}_${j} = e0_${q}_${s}_${t}_${j} + e3_${q}_${s}_${t}_${j};
      let e2_${q}_${s}_${t}_${j} = e0_${q}_${s}_${t}_${j} - e3_${q}_${s}_${t}_${j};
      //@end
      //@end
      //@end
      //@for i in 0..4
      //@for q in 0..OUT_PLANES
      //@for s in 0..TILE_H / 2
      //@for t in 0..TILE_W / 2
      $each(k in 0..4){ sum${q * 4 + k}_${i * 4 + j} += d${i}_${s}_${t}_${j} * e${i}_${q}_${s}_${t}_${j}.${lane(k)}; }
      //@end
      //@end
      //@end
      //@end
      //@end
      x += ${TILE_W}u;
      let wrap = x >= width;
      y = select(y, y + ${TILE_H}u, wrap);
      x = select(x, 0u, wrap);
    }
  }

  if (valid) {
    let at = (((params.firstStrip + strip) * params.blocks + block) * params.inputPlanes + plane) * ${OUT_PLANES * 36}u;
    // w${output channel}_${tap}: G' u G
    //@for k in 0..4 * OUT_PLANES
    //@for j in 0..4
    let half${k}_${j} = 0.5 * (sum${k}_${4 + j} + sum${k}_${8 + j});
    let g${k}_0_${j} = sum${k}_${j} + half${k}_${j};
    let g${k}_1_${j} = 0.5 * (sum${k}_${4 + j} - sum${k}_${8 + j});
    let g${k}_2_${j} = half${k}_${j} + sum${k}_${12 + j};
    //@end
    //@for dy in 0..3
    let half${k}_${4 + dy} = 0.5 * (g${k}_${dy}_1 + g${k}_${dy}_2);
    let w${k}_${dy * 3} = g${k}_${dy}_0 + half${k}_${4 + dy};
    let w${k}_${dy * 3 + 1} = 0.5 * (g${k}_${dy}_1 - g${k}_${dy}_2);
    let w${k}_${dy * 3 + 2} = half${k}_${4 + dy} + g${k}_${dy}_3;
    //@end
    //@end
    //@for q in 0..OUT_PLANES
    //@for c in 0..4
    //@for t in 0..9
    partials[at + ${(q * 4 + c) * 9 + t}u] = vec4<f32>($list(k in 0..4){ w${q * 4 + k}_${t}.${lane(c)} });
    //@end
    //@end
    //@end
  }
}
