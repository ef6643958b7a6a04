"""The layers that no paper of ours names: faster or stricter forms of Keras' own."""
