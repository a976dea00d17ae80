/**
 * How much workgroup memory a shader declares.
 * @module
 */

const SIZES: Readonly<Record<string, number>> = { f32: 4, u32: 4, vec2f: 8, vec4f: 16 };

/**
 * Bytes of all workgroup variables of expanded WGSL; types are scalars, vectors, sized arrays, and
 * aliases and structs of those that need no padding.
 * @throws {Error} for a type it cannot read.
 */
export function workgroupBytes(code: string): number {
  const types = new Map<string, string[]>();
  for (const [, name = "", type = ""] of code.matchAll(/alias (\w+) = ([^;]+);/g)) {
    types.set(name, [type]);
  }
  for (const [, name = "", body = ""] of code.matchAll(/struct (\w+) \{([^}]*)\}/g)) {
    types.set(name, [...body.matchAll(/\w+: ([^\n]+),/g)].map((member) => member[1] ?? ""));
  }
  const sizeOf = (type: string): number => {
    const [, element, count] = /^array<(.+), (\d+)>$/.exec(type) ?? [];
    if (element !== undefined) return Number(count) * sizeOf(element);
    const known = SIZES[type];
    if (known !== undefined) return known;
    const members = types.get(type);
    if (!members) throw new Error(`cannot tell the size of ${type}`);
    return members.reduce((sum, member) => sum + sizeOf(member), 0);
  };
  return [...code.matchAll(/var<workgroup> \w+: ([^;]+);/g)]
    .reduce((sum, [, type = ""]) => sum + sizeOf(type), 0);
}
