/** What `record.ts` records, in that order. */
export const FILES = 1500;
export const PATHS = Array.from(
  { length: FILES },
  (_, index) => `/home/docs/${String(index).padStart(5, '0')}`,
);
export const CHUNKS = ['first chunk', 'second chunk'];
/** Entries in one transaction. */
export const PLANNED_AT_ONCE = 50;
/** Files whose chunks make one pack, recorded in one transaction. */
export const UPLOADED_AT_ONCE = 5;
