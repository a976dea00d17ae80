// Class map at any size from logits: bilinear interpolation of the logits, then the best class,
// without ever storing logits at the target size.
//
// Formula   source = (target + 0.5) * size_in / size_out - 0.5, clamped (PyTorch, align_corners=False)
//           id = argmax_k bilinear(logits_k), the first maximum wins;
//           with THRESHOLD (two classes): id = 1 where softmax(logits)_1 > threshold
// Layout    logits c4 [N, K, h, w]; ids u8 [N, H, W], four of a row in a word, rows padded to words
// Bindings  0 params, 1 .. PARTS logits, last ids
// Constants THRESHOLD: 0 | 1; PARTS: bindings of the logits, more than one where a single image is
//           too large for one
// Grid      x over words of a row, y over rows, z over images

struct Params {
  in_width: u32,
  in_height: u32,
  pitch: u32,
  classes: u32,
  out_width: u32,
  out_height: u32,
  words: u32,
  step_x: f32, // in_width / out_width
  step_y: f32,
  threshold: f32,
  part_blocks: u32, // planes of an image in a part
  skip: u32,        // words before the first id
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..PARTS
//@input(s + 1) logits${s}: IMAGE
//@end
@group(0) @binding(${PARTS + 1}) var<storage, read_write> ids: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.words) {
    return;
  }
  let blocks = (params.classes + 3u) / 4u;
  let plane = (params.in_height + 2u) * params.pitch;
  let sy = clamp((f32(id.y) + 0.5) * params.step_y - 0.5, 0.0, f32(params.in_height - 1u));
  let y0 = u32(sy);
  let y1 = min(y0 + 1u, params.in_height - 1u);
  let fy = sy - f32(y0);
  let row0 = id.z * blocks * plane + (y0 + 1u) * params.pitch + 1u;
  let row1 = id.z * blocks * plane + (y1 + 1u) * params.pitch + 1u;
  var word = 0u;
  for (var i = 0u; i < 4u; i++) {
    let x = id.x * 4u + i;
    if (x >= params.out_width) {
      break;
    }
    let sx = clamp((f32(x) + 0.5) * params.step_x - 0.5, 0.0, f32(params.in_width - 1u));
    let x0 = u32(sx);
    let x1 = min(x0 + 1u, params.in_width - 1u);
    let fx = sx - f32(x0);
    var best = 0u;
    var best_value = 0.0;
//@for s in 0..PARTS
    for (var b = ${s}u * params.part_blocks; b < min(blocks, ${s + 1}u * params.part_blocks); b++) {
      let start = (b - ${s}u * params.part_blocks) * plane;
      let top = mix(logits${s}_at(row0 + start + x0), logits${s}_at(row0 + start + x1), fx);
      let bottom = mix(logits${s}_at(row1 + start + x0), logits${s}_at(row1 + start + x1), fx);
      let value = mix(top, bottom, fy);
//@if THRESHOLD
      best = select(0u, 1u, 1.0 / (1.0 + exp(value.x - value.y)) > params.threshold);
//@else
//@for c in 0..4
      if ((b * 4u + ${c}u == 0u || value.${lane(c)} > best_value) && b * 4u + ${c}u < params.classes) {
        best = b * 4u + ${c}u;
        best_value = value.${lane(c)};
      }
//@end
//@end
    }
//@end
    word |= best << (8u * i);
  }
  ids[params.skip + (id.z * params.out_height + id.y) * params.words + id.x] = word;
}
