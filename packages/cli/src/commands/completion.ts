import { type Command, defineCommand } from '../command.ts';
import { completionScripts } from '../completion.ts';

type Shell = keyof typeof completionScripts;

/** The line that switches completion on, in the file that the shell reads when it starts. */
const lines: Readonly<Record<Shell, { readonly file: string; readonly line: string }>> = {
  bash: { file: '~/.bashrc', line: 'source <(sentvec completion bash)' },
  zsh: { file: '~/.zshrc, after compinit', line: 'source <(sentvec completion zsh)' },
  fish: { file: '~/.config/fish/config.fish', line: 'sentvec completion fish | source' },
};

function completion(shell: Shell): Command {
  const { file, line } = lines[shell];
  return defineCommand({
    name: `completion ${shell}`,
    summary: `A script that completes commands, flags and their values in ${shell}.`,
    args: {},
    examples: [{ line, does: `Put this line into ${file}` }],
    run: ({ print }) => print({ text: completionScripts[shell], json: { script: completionScripts[shell] } }),
  });
}

export const completionBash: Command = completion('bash');
export const completionZsh: Command = completion('zsh');
export const completionFish: Command = completion('fish');
