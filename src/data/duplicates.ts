/**
 * Photos that are in a set more than once, to the byte. A copy in training of a photo that scores are
 * taken on makes them better than they are.
 * @module
 */

/** A photo as far as copies are concerned. */
export interface Hashed {
  /** As messages name it. */
  readonly name: string;
  readonly hash: string;
  readonly maskHash?: string | undefined;
}

/** A photo that another one repeats. */
export interface Copy<T extends Hashed> {
  readonly first: T;
  readonly copy: T;
  readonly message: string;
}

/** Copies among the pairs, each with the first pair of its photo. */
export function copiesAmong<T extends Hashed>(pairs: readonly T[]): Copy<T>[] {
  const seen = new Map<string, T>();
  const copies: Copy<T>[] = [];
  for (const copy of pairs) {
    const first = seen.get(copy.hash);
    if (first === undefined) {
      seen.set(copy.hash, copy);
      continue;
    }
    const masks = copy.maskHash === undefined
      ? ""
      : first.maskHash === copy.maskHash
      ? ", with the same mask"
      : ", with another mask";
    copies.push({
      first,
      copy,
      message: `${copy.name} is the same photo as ${first.name}${masks}`,
    });
  }
  return copies;
}

/** Pairs of training whose photo is a test photo too. */
export function copiesOfTest<T extends Hashed>(
  pairs: readonly T[],
  test: readonly Hashed[],
): { readonly pair: T; readonly message: string }[] {
  const known = new Map(test.map((photo) => [photo.hash, photo]));
  return pairs.flatMap((pair) => {
    const twin = known.get(pair.hash);
    if (twin === undefined) return [];
    return [{ pair, message: `${pair.name} is the same photo as the test photo ${twin.name}` }];
  });
}
