/**
 * Makes one node of several that a device computes together; see {@linkcode Joint}.
 * @module
 */
import { type Joint, Node } from "./graph.ts";
import type { LowerTarget } from "./lower.ts";

/**
 * `nodes` with each lot of a joint in place of its first node; none is changed in place. A node that
 * reads what is made later than there stays alone.
 */
export function join(nodes: readonly Node[], target: LowerTarget): readonly Node[] {
  const places = new Map(nodes.flatMap((node, i) => node.outputs.map((t) => [t, i] as const)));
  const members = new Map<Joint, Node[]>();
  for (const node of nodes) {
    const { joint } = node.spec;
    if (joint) members.set(joint, [...members.get(joint) ?? [], node]);
  }
  const joined = new Map<Node, Node | undefined>();
  for (const [joint, some] of members) {
    for (const wanted of joint.lots(some, target)) {
      const [first] = wanted;
      if (!first) continue;
      const place = nodes.indexOf(first);
      const lot = wanted.filter(({ inputs }) => inputs.every((t) => (places.get(t) ?? -1) < place));
      if (lot.length < 2) continue;
      for (const node of lot) joined.set(node, undefined);
      joined.set(first, together(joint, lot, first));
    }
  }
  return nodes.flatMap((node) => joined.has(node) ? joined.get(node) ?? [] : [node]);
}

function together(joint: Joint, lot: readonly Node[], first: Node): Node {
  const op = lot.map((node) => node.op).join("+");
  const label = first.label.slice(0, first.label.length - first.op.length) + op;
  const spec = {
    op,
    inputs: [...new Set(lot.flatMap((node) => node.inputs))],
    outputs: [],
    members: lot,
    lower: (context) => joint.lower(context, lot),
  } satisfies Node["spec"];
  return new Node(first.id, label, spec, lot.flatMap((node) => node.outputs));
}
