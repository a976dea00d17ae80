// Elementwise arithmetic on any layout. The padding of c4 is zero, which every OP here maps to zero;
// what follows the last value of a flat tensor may be anything, and becomes zero.
//
// Formula   y = OP(a, b), see the branches below
// Layout    vec4s in memory order (flat or c4)
// Bindings  0 params, 1 a, 2 b (two-operand ops only), last y
// Constants OP: add | mul | scale | relu | relu_grad; OPERANDS: 1 | 2; TAIL: 1 where the last vec4
//           holds only `tail` values (flat tensors)
// Grid      one invocation a vec4; x then y

struct Params {
  count: u32,  // vec4s
  stride: u32, // invocations in a grid row
  alpha: f32,
  beta: f32,
  tail: u32, // 1..4 values in the last vec4
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) a: IMAGE
//@if OPERANDS == 2
//@input(2) b: IMAGE
@group(0) @binding(3) var<storage, read_write> y: array<${IMAGE}>;
//@else
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;
//@end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let i = id.y * params.stride + id.x;
  if (i >= params.count) {
    return;
  }
//@if OP == 'add'
  let value = params.alpha * a_at(i) + params.beta * b_at(i);
//@end
//@if OP == 'mul'
  let value = a_at(i) * b_at(i);
//@end
//@if OP == 'scale'
  let value = params.alpha * a_at(i);
//@end
//@if OP == 'relu'
  let value = max(a_at(i), vec4f());
//@end
//@if OP == 'relu_grad'
  // a = gradient of the output, b = the output
  let value = select(vec4f(), a_at(i), b_at(i) > vec4f());
//@end
//@if TAIL
  let inside = select(4u, params.tail, i + 1u == params.count);
  y[i] = ${IMAGE}(select(vec4f(), value, vec4u(0u, 1u, 2u, 3u) < vec4u(inside)));
//@else
  y[i] = ${IMAGE}(value);
//@end
}
