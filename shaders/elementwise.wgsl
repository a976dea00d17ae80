// Elementwise arithmetic on any layout whose padding is zero: every OP here maps zeros to zero.
//
// Formula   y = OP(a, b), see the branches below
// Layout    vec4s in memory order (flat or c4)
// Bindings  0 params, 1 a, 2 b (two-operand ops only), last y
// Constants IMAGE: vec4f | vec4h; OP: add | mul | scale | relu | relu_grad; OPERANDS: 1 | 2
// Grid      one invocation a vec4; x then y

struct Params {
  count: u32,  // vec4s
  stride: u32, // invocations in a grid row
  alpha: f32,
  beta: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> a: array<${IMAGE}>;
//@if OPERANDS == 2
@group(0) @binding(2) var<storage, read> b: array<${IMAGE}>;
@group(0) @binding(3) var<storage, read_write> y: array<${IMAGE}>;
//@else
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;
//@end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.y * params.stride + id.x;
  if (i >= params.count) {
    return;
  }
//@if OP == 'add'
  y[i] = ${IMAGE}(params.alpha * vec4f(a[i]) + params.beta * vec4f(b[i]));
//@end
//@if OP == 'mul'
  y[i] = ${IMAGE}(vec4f(a[i]) * vec4f(b[i]));
//@end
//@if OP == 'scale'
  y[i] = ${IMAGE}(params.alpha * vec4f(a[i]));
//@end
//@if OP == 'relu'
  y[i] = ${IMAGE}(max(vec4f(a[i]), vec4f()));
//@end
//@if OP == 'relu_grad'
  // a = gradient of the output, b = the output
  y[i] = ${IMAGE}(select(vec4f(), vec4f(a[i]), vec4f(b[i]) > vec4f()));
//@end
}
