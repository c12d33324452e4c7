/** How many batches may be made and not be settled: one without a pack takes no buffer that would hold the next one up. */
export interface BatchLimit {
  /** Resolves when one more may be made. */
  ready(): Promise<void>;
  made(): void;
  /** One of them is in the journal. @param most so many may be on their way from now on */
  settled(most: number): void;
}

export function createBatchLimit(firstMost: number): BatchLimit {
  let most = firstMost;
  let underWay = 0;
  let wake = () => {};
  return {
    async ready() {
      while (underWay >= most) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    made() {
      underWay += 1;
    },
    settled(count) {
      underWay -= 1;
      most = count;
      wake();
    },
  };
}
