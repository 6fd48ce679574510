import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vitest/config';

/** Icons come as the text of their SVG file, as JupyterLab's builder gives them. */
function svgText(): Plugin {
  return {
    name: 'svg-text',
    enforce: 'pre',
    load(id) {
      const path = id.split('?')[0] ?? id;
      if (!path.endsWith('.svg')) {
        return null;
      }
      return `export default ${JSON.stringify(readFileSync(path, 'utf8'))};`;
    }
  };
}

export default defineConfig({
  plugins: [svgText()],
  resolve: {
    alias: [
      {
        find: /^@rjsf\/(core|utils|validator-ajv8)$/,
        replacement: '@rjsf/$1/lib/index.js'
      }
    ]
  },
  test: {
    environment: 'jsdom',
    testTimeout: 30_000,
    // The form library is written for React 17; React 18.3 says so for each of its widgets.
    onConsoleLog: text => !text.includes('Support for defaultProps'),
    include: ['src/__tests__/**/*.test.{ts,tsx}'],
    setupFiles: ['src/__tests__/setup.ts'],
    server: {
      deps: {
        inline: [/@jupyterlab/, /@jupyter/, /@lumino/, /@rjsf/, /@microsoft/]
      }
    }
  }
});
