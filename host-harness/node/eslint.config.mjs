import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['native/'] },
  js.configs.recommended,
  { languageOptions: { globals: globals.node } },
  { files: ['**/*.cjs'], languageOptions: { sourceType: 'commonjs' } },
];
