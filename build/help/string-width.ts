/** Stands for the package of this name where yargs takes it: exact all the same, and nothing to set up. */
export { displayWidth as default } from '../../lib/view/width.ts';
