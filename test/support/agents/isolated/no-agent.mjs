export default { type: 'no agent', execute: 'nothing' }
