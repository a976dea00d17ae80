// Rows of a class map, and the probabilities, of a map that a ring of rows collects: bilinear
// interpolation of its values, then the best class. Channels come in chunks, a dispatch each.
//
// Formula   source = (target + 0.5) * size_in / size_out - 0.5, clamped (PyTorch, align_corners=False)
//           v_k = bilinear(values_k); id = argmax_k v_k, the first maximum wins;
//           with THRESHOLD (two classes): id = 1 where the probability of class 1 > threshold
//           best: v = max_k v_k and total = sum over k of exp(v_k - v), over the chunks so far
//           probability: p_k = exp(v_k - v) / total; with PROBABILITIES p_k = v_k
// Layout    area [blocks, ring_rows, in_width] vec4 without border; ids u8 [rows, W], four of a row
//           in a word, rows padded to words; best, total: one vec4 a word of ids;
//           probabilities f16 [K, rows, W], rows padded to the words of ids
// Bindings  0 params, 1 placement [first row], 2 area; best: 3 ids, 4 best, 5 total;
//           probability: 3 best, 4 total, 5 probabilities
// Constants PASS: best | probability; FIRST: 0 | 1, whether it is the first chunk;
//           THRESHOLD: 0 | 1; PROBABILITIES: 0 | 1, whether the values are probabilities already;
//           TOTAL: 0 | 1, whether anybody reads the total
// Grid      x over words of a row, y over rows

struct Params {
  in_width: u32,
  in_height: u32,
  ring_rows: u32,
  classes: u32,
  first_block: u32,
  blocks: u32,
  out_width: u32,
  out_height: u32,
  words: u32,
  rows: u32,
  step_x: f32, // in_width / out_width
  step_y: f32,
  threshold: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> placement: array<u32>;
//@input(2) area: 'vec4f'
//@if PASS == 'best'
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> best: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> total: array<vec4f>;
//@else
//@input(3) best: 'vec4f'
//@input(4) total: 'vec4f'
@group(0) @binding(5) var<storage, read_write> probabilities: array<vec2u>;
//@end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let row = placement[0] + id.y;
  if (id.x >= params.words || row >= params.out_height) {
    return;
  }
  let sy = clamp((f32(row) + 0.5) * params.step_y - 0.5, 0.0, f32(params.in_height - 1u));
  let y0 = u32(sy);
  let y1 = min(y0 + 1u, params.in_height - 1u);
  let fy = sy - f32(y0);
  let row0 = (y0 % params.ring_rows) * params.in_width;
  let row1 = (y1 % params.ring_rows) * params.in_width;
  let plane = params.ring_rows * params.in_width;
  let word = id.y * params.words + id.x;
  // Pixels past the end of a row repeat its last one.
  let columns = min(id.x * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.out_width - 1u));
  let sx = clamp(
    (vec4f(columns) + 0.5) * params.step_x - 0.5,
    vec4f(),
    vec4f(f32(params.in_width - 1u)),
  );
  let x0 = vec4u(sx);
  let x1 = min(x0 + 1u, vec4u(params.in_width - 1u));
  let fx = sx - vec4f(x0);
//@if PASS == 'best'
//@if FIRST
  var found = vec4u();
  var value = vec4f(-3.4e38);
  var sum = vec4f();
//@else
  let packed = ids[word];
  var found = (vec4u(packed) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
  var value = best[word];
  var sum = total[word];
//@end
//@else
  let value = best_at(word);
  let scale = 1.0 / total_at(word);
//@end
  for (var b = 0u; b < params.blocks; b++) {
    let from0 = b * plane + row0;
    let from1 = b * plane + row1;
//@for i in 0..4
    let v${i} = mix(
      mix(area_at(from0 + x0.${lane(i)}), area_at(from0 + x1.${lane(i)}), fx.${lane(i)}),
      mix(area_at(from1 + x0.${lane(i)}), area_at(from1 + x1.${lane(i)}), fx.${lane(i)}),
      fy,
    );
//@end
    let first = (params.first_block + b) * 4u;
//@for c in 0..4
    if (first + ${c}u < params.classes) {
      let v = vec4f(v0.${lane(c)}, v1.${lane(c)}, v2.${lane(c)}, v3.${lane(c)});
//@if PASS == 'best'
      let better = v > value;
      found = select(found, vec4u(first + ${c}u), better);
//@if TOTAL
      let top = max(value, v);
      sum = sum * exp(value - top) + exp(v - top);
//@end
      value = max(value, v);
//@else
//@if PROBABILITIES
      let p = v;
//@else
      let p = exp(v - value) * scale;
//@end
      let to = ((first + ${c}u) * params.rows + id.y) * params.words + id.x;
      probabilities[to] = vec2u(pack2x16float(p.xy), pack2x16float(p.zw));
//@end
    }
//@end
//@if PASS == 'best' && THRESHOLD
    let zero = vec4f(v0.x, v1.x, v2.x, v3.x);
    let one = vec4f(v0.y, v1.y, v2.y, v3.y);
//@if PROBABILITIES
    found = select(vec4u(), vec4u(1u), one > vec4f(params.threshold));
//@else
    found = select(vec4u(), vec4u(1u), 1.0 / (1.0 + exp(zero - one)) > vec4f(params.threshold));
//@end
//@end
  }
//@if PASS == 'best'
  let bytes = found << vec4u(0u, 8u, 16u, 24u);
  ids[word] = (bytes.x | bytes.y) | (bytes.z | bytes.w);
  best[word] = value;
  total[word] = sum;
//@end
}
